//! What Git says when it fails, as one sentence that says what to do.

/// Explains a failed fetch from the last lines of Git's standard error.
pub(super) fn explain(errors: &[String], status: &str) -> String {
    let text = errors.join("\n");
    let has = |part: &str| text.contains(part);
    let known = if has("could not read Username")
        || has("Authentication failed")
        || has("The requested URL returned error: 401")
    {
        "the repository does not exist, or it is private: the server asks for a password"
    } else if has("not found") && !has("Remote branch")
        || has("The requested URL returned error: 404")
        || has("does not appear to be a git repository")
    {
        "there is no Git repository at this address"
    } else if has("Remote branch") && has("not found") {
        "the repository has no such branch or tag"
    } else if has("not our ref") || has("couldn't find remote ref") || has("unadvertised object") {
        "the repository has no such commit, or its server does not hand out single commits"
    } else if has("redirect") {
        "the server sends elsewhere; give the address it redirects to"
    } else if has("Operation too slow") || has("Operation timed out") || has("timed out") {
        "the server sends nothing; try again when it answers"
    } else if has("Failed to connect")
        || has("Couldn't connect")
        || has("Connection refused")
        || has("Could not resolve host")
    {
        "the server does not answer at this address"
    } else if has("SSL certificate") || has("certificate") {
        "the server's certificate is not trusted"
    } else if has("You appear to have cloned an empty repository")
        || has("does not have any commits")
    {
        "the repository is empty; push a commit first"
    } else if has("transport") && has("not allowed") {
        "this kind of address is not allowed"
    } else {
        ""
    };
    let last = errors
        .iter()
        .rev()
        .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or(errors.last());
    match (known, last) {
        ("", Some(last)) => format!("fetching the source failed: {last}"),
        ("", None) => format!("fetching the source failed: git ended with {status}"),
        (known, _) => format!("fetching the source failed: {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_failures_are_explained() {
        for (said, meant) in [
            (
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
                "private",
            ),
            (
                "fatal: repository 'http://x/' not found",
                "no Git repository",
            ),
            (
                "fatal: Remote branch nope not found in upstream origin",
                "no such branch",
            ),
            (
                "fatal: remote error: upload-pack: not our ref 0123",
                "no such commit",
            ),
            ("fatal: something new", "something new"),
        ] {
            let text = explain(&[said.to_owned()], "exit status: 128");
            assert!(text.contains(meant), "{text}");
        }
    }
}
