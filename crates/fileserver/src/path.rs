//! From a request's path to a path below the site's folder, or nothing.

use std::path::PathBuf;

/// A request path that cannot point outside the site: its segments are plain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SitePath {
    segments: Vec<String>,
    is_folder: bool,
}

impl SitePath {
    /// Reads the path of a request target, still percent-encoded and without its query.
    ///
    /// `None` for whatever no file of a site may be called: `.` and `..`, hidden files (except `.well-known`,
    /// RFC 8615), empty segments, and names with a separator, a control character, or bytes that are not UTF-8.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let inner = path.strip_prefix('/')?;
        let (inner, is_folder) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, inner.is_empty()),
        };
        let segments = if inner.is_empty() {
            // Of `//`, the inner part is empty as well.
            if path.len() > 1 {
                return None;
            }
            vec![]
        } else {
            inner.split('/').map(parse_segment).collect::<Option<_>>()?
        };
        Some(Self {
            segments,
            is_folder,
        })
    }

    /// The path below the site's folder.
    pub(crate) fn relative(&self) -> PathBuf {
        self.segments.iter().collect()
    }

    /// Whether the request's path ended in a slash.
    pub(crate) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The last name, if it is not the site's root.
    pub(crate) fn name(&self) -> Option<&str> {
        self.segments.last().map(String::as_str)
    }
}

fn parse_segment(segment: &str) -> Option<String> {
    let name = decode(segment)?;
    let hidden = name.starts_with('.') && name != ".well-known";
    let strange = name.is_empty()
        || name
            .chars()
            .any(|letter| letter == '/' || letter == '\\' || letter.is_control());
    (!hidden && !strange).then_some(name)
}

/// Undoes percent-encoding (RFC 3986, section 2.1), once.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(path: &str) -> Option<String> {
        Some(SitePath::parse(path)?.relative().display().to_string())
    }

    #[test]
    fn plain_paths_lead_below_the_site() {
        assert_eq!(relative("/").as_deref(), Some(""));
        assert_eq!(relative("/index.html").as_deref(), Some("index.html"));
        assert_eq!(relative("/a/b%20c/d.css").as_deref(), Some("a/b c/d.css"));
        assert_eq!(relative("/%C3%A9t%C3%A9.html").as_deref(), Some("été.html"));
        assert_eq!(
            relative("/.well-known/security.txt").as_deref(),
            Some(".well-known/security.txt")
        );
    }

    #[test]
    fn nothing_leads_out_of_the_site() {
        for path in [
            "/..",
            "/../etc/passwd",
            "/a/../../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/..%2fetc/passwd",
            "/a%2f..%2f..%2fetc",
            "/..\\windows",
            "/%5c..",
            "/a/./b",
            "etc/passwd",
            "",
        ] {
            assert_eq!(SitePath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn hidden_files_and_odd_names_are_not_there() {
        for path in [
            "/.env",
            "/.git/config",
            "/a/.htpasswd",
            "/%2Eenv",
            "//",
            "//evil.example",
            "/a//b",
            "/a%00b",
            "/a%0d%0ab",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
        ] {
            assert_eq!(SitePath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_final_slash_asks_for_a_folder() {
        assert!(SitePath::parse("/").is_some_and(|path| path.is_folder()));
        assert!(SitePath::parse("/docs/").is_some_and(|path| path.is_folder()));
        assert!(SitePath::parse("/docs").is_some_and(|path| !path.is_folder()));
    }

    #[test]
    fn encoding_is_undone_only_once() {
        assert_eq!(relative("/%252e%252e").as_deref(), Some("%2e%2e"));
    }
}
