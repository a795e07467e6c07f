//! Words that events are found by: lower case, without accents. A search is a prefix of each of its
//! words, so that an ordered index answers it.

use std::collections::BTreeSet;

use crate::names::fold_to_ascii;
use crate::{Description, Invalid};

use super::EventTitle;

/// Longer words are found by their beginning.
const WORD_CHARS: usize = 32;
/// A search has at most so many words.
const SEARCH_WORDS: usize = 8;
const SEARCH_CHARS: usize = 100;
/// Enough to order titles by; what is equal so far is ordered by id.
const KEY_CHARS: usize = 64;

/// The words of an event, each once.
#[must_use]
pub fn words_of(title: &EventTitle, description: Option<&Description>) -> BTreeSet<String> {
    let mut words: BTreeSet<String> = words(title.as_str()).collect();
    if let Some(description) = description {
        words.extend(self::words(description.as_str()));
    }
    words
}

/// The words of a search; none when there are only signs in it.
///
/// # Errors
/// More than 100 characters or 8 words.
pub fn search_words(text: &str) -> Result<Vec<String>, Invalid> {
    if text.chars().count() > SEARCH_CHARS {
        return Err(Invalid::new("must have at most 100 characters"));
    }
    let words: BTreeSet<String> = words(text).collect();
    if words.len() > SEARCH_WORDS {
        return Err(Invalid::new("must have at most 8 words"));
    }
    Ok(words.into_iter().collect())
}

/// What titles are ordered by: case and accents make no difference.
#[must_use]
pub fn title_key(title: &EventTitle) -> String {
    fold_to_ascii(title.as_str())
        .chars()
        .take(KEY_CHARS)
        .collect()
}

/// Runs of letters and digits. Scripts without spaces have a word for each character: otherwise a whole
/// sentence would be one.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for c in fold_to_ascii(text).chars() {
        if !c.is_alphanumeric() {
            is_open = false;
        } else if is_unspaced(c) {
            words.push(c.to_string());
            is_open = false;
        } else if is_open {
            if let Some(word) = words.last_mut()
                && word.chars().count() < WORD_CHARS
            {
                word.push(c);
            }
        } else {
            words.push(c.to_string());
            is_open = true;
        }
    }
    words.into_iter()
}

/// Chinese characters and kana (Unicode blocks from CJK Radicals to CJK Compatibility Ideographs, without
/// Hangul, which is written with spaces).
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_have_neither_case_nor_accents_nor_signs() {
        let title = EventTitle::parse("Soldes d'Été 2027 — l'ÉTÉ !").unwrap();
        let words = words_of(&title, None);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(words, ["2027", "d", "ete", "l", "soldes"]);
        assert_eq!(search_words("100% été_").unwrap(), ["100", "ete"]);
        assert_eq!(search_words("東京").unwrap(), ["京", "東"]);
        assert!(search_words(" %_ ").unwrap().is_empty());
        assert!(search_words("a b c d e f g h i").is_err());
        assert!(search_words(&"x".repeat(101)).is_err());
    }

    #[test]
    fn a_long_word_is_found_by_itself() {
        let long = "a".repeat(90);
        let title = EventTitle::parse(&long).unwrap();
        let searched = search_words(&long).unwrap();
        assert!(words_of(&title, None).contains(&searched[0]));
    }

    proptest! {
        #[test]
        fn every_title_is_found_by_each_of_its_words(text in "\\PC{1,60}") {
            prop_assume!(EventTitle::parse(&text).is_ok());
            let title = EventTitle::parse(&text).unwrap();
            let indexed = words_of(&title, None);
            for word in title.as_str().split_whitespace() {
                for searched in search_words(word).unwrap_or_default() {
                    prop_assert!(indexed.iter().any(|word| word.starts_with(&searched)));
                }
            }
        }
    }
}
