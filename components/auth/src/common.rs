//! Whether a password is on the list of those that everyone tries first, or nearly.
//!
//! `common_passwords.txt` has 14,315 lines: the passwords of eight and more characters among the 30,000 most
//! common of published leaks, as the library zxcvbn ranks them (MIT licence, © Dropbox, Inc. and Daniel
//! Wolf), and the shorter words among the first 5,000 of these, which people make long enough with a year
//! or a `!`. It is sorted and in lower case, so it is searched where it lies: 126 KiB of the
//! component, nothing on the heap.

/// What is appended to a common word to satisfy a rule: a year, `123`, `!`.
const MAX_SUFFIX: usize = 4;
/// The shortest words on the list.
const MIN_WORD: usize = 5;

/// Whether it is on the list, or is with a short tail of digits and signs cut off, or with the signs
/// that stand for letters put back. `lower` is in lower case.
pub(crate) fn is_listed(list: &str, lower: &str) -> bool {
    let plain: String = lower.chars().map(letter_meant).collect();
    has_word(list, lower) || has_word(list, &plain)
}

fn has_word(list: &str, text: &str) -> bool {
    if has_line(list, text) {
        return true;
    }
    let word = text.trim_end_matches(|last: char| last.is_ascii() && !last.is_ascii_alphabetic());
    let suffix = text.len() - word.len();
    (1..=MAX_SUFFIX).contains(&suffix) && word.len() >= MIN_WORD && has_line(list, word)
}

/// `p@ssw0rd`, `dr4gon`.
fn letter_meant(sign: char) -> char {
    match sign {
        '@' | '4' => 'a',
        '3' => 'e',
        '0' => 'o',
        '$' | '5' => 's',
        other => other,
    }
}

/// Binary search over the lines of a sorted text.
fn has_line(list: &str, wanted: &str) -> bool {
    let bytes = list.as_bytes();
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(low, |at| low + at + 1);
        let end = bytes[start..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |at| start + at);
        match bytes[start..end].cmp(wanted.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = (end + 1).min(high),
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = include_str!("common_passwords.txt");

    #[test]
    fn the_list_is_sorted_lower_case_and_of_a_sensible_size() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(lines.is_sorted());
        let long = lines.iter().filter(|line| line.len() >= 8).count();
        assert!(long > 10_000, "{long}");
        assert!(lines.iter().all(|line| line.len() >= MIN_WORD
            && *line == line.to_lowercase()
            && !line.contains(' ')));
    }

    #[test]
    fn every_line_is_found_and_nothing_else() {
        for line in LIST.lines() {
            assert!(has_line(LIST, line), "{line}");
            assert!(!has_line(LIST, &format!("{line}\u{1}")), "{line}");
        }
        for absent in ["", "\n", "zzzzzzzzzzzz", "!", "correct horse battery"] {
            assert!(!has_line(LIST, absent), "{absent}");
        }
        assert!(!has_line("", "password"));
    }

    #[test]
    fn a_common_word_with_a_year_or_a_sign_is_common() {
        for common in [
            "password",
            "password1!",
            "p@ssw0rd",
            "dragon2024",
            "qwerty123!",
            "monkey!!",
            "p4ssw0rd99",
        ] {
            assert!(is_listed(LIST, common), "{common}");
        }
        for fine in [
            "monkey84729163",
            "gravel monkey",
            "zorro-und-bernardo",
            "pass word 7",
        ] {
            assert!(!is_listed(LIST, fine), "{fine}");
        }
    }
}
