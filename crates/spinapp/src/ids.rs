//! The forms of names that Spin accepts.

/// A component id: `-`-separated words of ASCII letters and digits that begin with a letter, each
/// word in one case (the component model's kebab names).
pub(crate) fn check_kebab(id: &str) -> Result<(), String> {
    check_words(id, '-', '_')
}

/// The same with `_` between the words.
pub(crate) fn check_snake(id: &str) -> Result<(), String> {
    check_words(id, '_', '-')
}

/// Bytes of a label. Its store is a file of this name, of which file systems take 255 and archives 100.
const MAX_LABEL_BYTES: usize = 64;

/// A label of a database or key-value store: kebab or snake.
pub(crate) fn check_label(label: &str) -> Result<(), String> {
    if label.len() > MAX_LABEL_BYTES {
        return Err(format!(
            "a label has at most {MAX_LABEL_BYTES} characters, this one {}",
            label.len()
        ));
    }
    if check_kebab(label).is_ok() || check_snake(label).is_ok() {
        Ok(())
    } else {
        Err(format!("{label:?} is not a label"))
    }
}

/// A variable's name: snake, lower case.
pub(crate) fn check_variable(name: &str) -> Result<(), String> {
    check_snake(name)?;
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(format!("{name:?} has upper-case letters"));
    }
    Ok(())
}

fn check_words(id: &str, delimiter: char, wrong: char) -> Result<(), String> {
    if id.is_empty() {
        return Err("a name must not be empty".to_owned());
    }
    if id.contains(wrong) {
        return Err(format!(
            "words in {id:?} must be separated by {delimiter:?}, not {wrong:?}"
        ));
    }
    for word in id.split(delimiter) {
        let Some(first) = word.chars().next() else {
            return Err(format!("{id:?} has an empty word"));
        };
        if !first.is_ascii_alphabetic() {
            return Err(format!("words in {id:?} must begin with an ASCII letter"));
        }
        let upper = first.is_ascii_uppercase();
        for c in word.chars() {
            if !c.is_ascii_alphanumeric() {
                return Err(format!(
                    "{id:?} may hold only ASCII letters, digits and {delimiter:?}; found {c:?}"
                ));
            }
            if c.is_ascii_alphabetic() && c.is_ascii_uppercase() != upper {
                return Err(format!("the word {word:?} mixes upper and lower case"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kebab_names_are_words_that_begin_with_a_letter() {
        for good in ["a", "my-app", "v2-API", "a1-b2"] {
            assert_eq!(check_kebab(good), Ok(()), "{good}");
        }
        for bad in [
            "", "-", "a-", "-a", "a--b", "1a", "a-1", "my_app", "aB", "é", "a b",
        ] {
            assert!(check_kebab(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn variables_are_lower_snake() {
        assert_eq!(check_variable("api_key2"), Ok(()));
        for bad in ["API", "api-key", "_a", "a_", "a__b", "2a"] {
            assert!(check_variable(bad).is_err(), "{bad}");
        }
    }
}
