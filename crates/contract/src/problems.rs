//! The types of problems, from `docs/PROBLEMS.md`: the one list of them.

use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../../docs/PROBLEMS.md");

/// A type of problem.
pub(crate) struct ProblemType {
    pub(crate) slug: &'static str,
    pub(crate) status: u16,
    pub(crate) when: &'static str,
}

/// All types, in the document's order; the first row of a slug counts.
pub(crate) fn all() -> Vec<ProblemType> {
    let mut types: Vec<ProblemType> = Vec::new();
    for line in DOCUMENT.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(slug), Some(status), Some(when)) = (cells.next(), cells.next(), cells.next())
        else {
            continue;
        };
        let slug = slug
            .strip_prefix('`')
            .and_then(|slug| slug.strip_suffix('`'));
        if let (Some(slug), Ok(status)) = (slug, status.parse())
            && types.iter().all(|known| known.slug != slug)
        {
            types.push(ProblemType { slug, status, when });
        }
    }
    types
}

/// The status of a type.
///
/// # Panics
/// When the document has no such type.
pub(crate) fn find(slug: &str) -> ProblemType {
    all()
        .into_iter()
        .find(|known| known.slug == slug)
        .unwrap_or_else(|| panic!("docs/PROBLEMS.md has no row for `{slug}`"))
}

/// The schema of a problem's `type`: which there are, and when each is met.
pub(crate) fn schema() -> Value {
    let types: Vec<Value> = all()
        .iter()
        .map(|known| {
            json!({
                "const": format!("/problems/{}", known.slug),
                "title": known.slug,
                "description": format!("{}: {}", known.status, known.when),
            })
        })
        .collect();
    json!({
        "description": "A stable relative URI. What each means and what to do about it: docs/PROBLEMS.md.",
        "type": "string",
        "oneOf": types,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_listed_once_with_its_status() {
        assert_eq!(find("not-json").status, 400);
        assert_eq!(find("function-timeout").status, 504);
        let mut slugs: Vec<_> = all().iter().map(|known| known.slug).collect();
        let listed = slugs.len();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), listed);
    }
}
