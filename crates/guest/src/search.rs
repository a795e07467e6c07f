//! Searching for a text anywhere in a column.

/// A LIKE pattern for a text anywhere, its own wildcards escaped by `!`, in lower case.
#[must_use]
pub fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::like_pattern;

    #[test]
    fn wildcards_stand_for_themselves() {
        assert_eq!(like_pattern("A_b%!"), "%a!_b!%!!%");
        assert_eq!(like_pattern(""), "%%");
    }
}
