//! The `Range` header (RFC 9110, section 14), for one range of bytes.

/// Which part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: no range was given, or one that may be ignored.
    Whole,
    /// From `first` to `last`, both included.
    Part {
        /// The first byte's position.
        first: u64,
        /// The last byte's position.
        last: u64,
    },
    /// Nothing of the file lies within the range: 416.
    Outside,
}

/// Reads the header for a file of `size_bytes`.
///
/// A header that is malformed, of another unit, or of several ranges is ignored, as section 14.2 allows.
pub(crate) fn select(header: Option<&str>, size_bytes: u64) -> Selection {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Selection::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Selection::Whole;
    };
    match (number(first), number(last)) {
        (Some(Number::None), Some(Number::Is(length))) => suffix(length, size_bytes),
        (Some(Number::Is(first)), Some(Number::None)) => part(first, u64::MAX, size_bytes),
        (Some(Number::Is(first)), Some(Number::Is(last))) if first <= last => {
            part(first, last, size_bytes)
        }
        _ => Selection::Whole,
    }
}

enum Number {
    None,
    Is(u64),
}

/// Digits only: `parse` alone would take a sign. More digits than fit mean "to the end".
fn number(text: &str) -> Option<Number> {
    if text.is_empty() {
        return Some(Number::None);
    }
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| Number::Is(text.parse().unwrap_or(u64::MAX)))
}

fn suffix(length: u64, size_bytes: u64) -> Selection {
    if length == 0 || size_bytes == 0 {
        return Selection::Outside;
    }
    Selection::Part {
        first: size_bytes.saturating_sub(length),
        last: size_bytes - 1,
    }
}

fn part(first: u64, last: u64, size_bytes: u64) -> Selection {
    if first >= size_bytes {
        return Selection::Outside;
    }
    Selection::Part {
        first,
        last: last.min(size_bytes - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten(header: &str) -> Selection {
        select(Some(header), 10)
    }

    #[test]
    fn one_range_is_cut_to_the_file() {
        assert_eq!(of_ten("bytes=2-5"), Selection::Part { first: 2, last: 5 });
        assert_eq!(of_ten("bytes=2-"), Selection::Part { first: 2, last: 9 });
        assert_eq!(of_ten("bytes=2-99"), Selection::Part { first: 2, last: 9 });
        assert_eq!(of_ten("bytes=-3"), Selection::Part { first: 7, last: 9 });
        assert_eq!(of_ten("bytes=-99"), Selection::Part { first: 0, last: 9 });
        assert_eq!(
            of_ten("bytes=0-99999999999999999999999"),
            Selection::Part { first: 0, last: 9 }
        );
    }

    #[test]
    fn a_range_beyond_the_end_is_outside() {
        assert_eq!(of_ten("bytes=10-"), Selection::Outside);
        assert_eq!(of_ten("bytes=10-12"), Selection::Outside);
        assert_eq!(of_ten("bytes=-0"), Selection::Outside);
        assert_eq!(select(Some("bytes=0-"), 0), Selection::Outside);
        assert_eq!(select(Some("bytes=-5"), 0), Selection::Outside);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for header in [
            "items=0-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "0-1",
        ] {
            assert_eq!(of_ten(header), Selection::Whole, "{header}");
        }
        assert_eq!(select(None, 10), Selection::Whole);
    }
}
