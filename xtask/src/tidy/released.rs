//! What was released does not change: databases out there went through exactly these migrations.

use super::{Fault, TextFile};
use crate::fixture::{FIXTURES, MIGRATIONS, digest};

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    files
        .iter()
        .filter(|file| file.path.starts_with(FIXTURES) && file.path.ends_with(MIGRATIONS))
        .flat_map(|list| {
            list.lines()
                .filter_map(move |(number, line)| fault_of(files, list, number, line))
        })
        .collect()
}

fn fault_of(files: &[TextFile], list: &TextFile, number: usize, line: &str) -> Option<Fault> {
    let Some((released, path)) = line.split_once("  ") else {
        return Some(list.fault(number, "is not `<sha256>  <path>`"));
    };
    match files.iter().find(|file| file.path == path) {
        None => Some(list.fault(number, format!("{path} was released and is gone"))),
        Some(file) if digest(&file.text) != released => {
            Some(file.fault(0, "was released and has changed: add a migration instead"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn a_released_migration_stays_as_it_is() {
        let path = "crates/guest/src/platform/0001_projects.sql";
        let text = "CREATE TABLE a (x);\n";
        let list = format!("{}  {path}\n", digest(text));
        let list = file("tests/fixtures/upgrade/0.1.0/migrations.sha256", &list);
        assert!(check(&[list.clone(), file(path, text)]).is_empty());
        let changed = check(&[list.clone(), file(path, "CREATE TABLE a (x, y);\n")]);
        assert_eq!(changed[0].path, path);
        assert_eq!(check(&[list]).len(), 1);
    }
}
