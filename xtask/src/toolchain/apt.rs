//! What the machine's own apt configuration says about where packages come from.
//!
//! No mirror's address is written down in this repository: the suite `<codename>-backports` is asked for at the same
//! place, with the same keys, as the suite the machine runs.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// One package source, in apt's newer (deb822) terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    uris: String,
    suites: Vec<String>,
    components: Vec<String>,
    /// Whatever else is said, `Signed-By` above all; kept as it is.
    further: Vec<(String, String)>,
}

/// A source file for the backports of the release this machine runs.
pub(super) fn backports_source() -> anyhow::Result<String> {
    let codename =
        codename(&fs::read_to_string("/etc/os-release").context("reading which Debian this is")?)
            .context("/etc/os-release names no release")?;
    let sources = read_sources(Path::new("/etc/apt"))?;
    let Some(main) = sources.iter().find(|source| source.offers(&codename)) else {
        bail!("apt's configuration has no source for the main part of {codename}");
    };
    Ok(main.with_suite(&format!("{codename}-backports")))
}

fn codename(os_release: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned())
}

fn read_sources(folder: &Path) -> anyhow::Result<Vec<Source>> {
    let mut files = vec![folder.join("sources.list")];
    if let Ok(entries) = fs::read_dir(folder.join("sources.list.d")) {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let mut sources = vec![];
    for file in files.iter().filter(|file| file.is_file()) {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(parse_stanzas(&text)),
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            // apt ignores other names, too.
            _ => {}
        }
    }
    Ok(sources)
}

/// Stanzas of `Field: value`, continued by indented lines, separated by empty ones (sources.list(5)).
fn parse_stanzas(text: &str) -> Vec<Source> {
    let mut sources = vec![];
    let mut fields: Vec<(String, String)> = vec![];
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .chain([""])
    {
        if line.trim().is_empty() {
            sources.extend(Source::from_fields(std::mem::take(&mut fields)));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sources
}

/// `deb [option=value …] uri suite component…` (sources.list(5)).
fn parse_line(line: &str) -> Option<Source> {
    let rest = line
        .trim()
        .strip_prefix("deb")?
        .strip_prefix([' ', '\t'])?
        .trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest
        .split('#')
        .next()?
        .split_whitespace()
        .map(str::to_owned);
    let further = options
        .split_whitespace()
        .filter_map(|option| option.split_once('='))
        .filter(|(name, _)| *name == "signed-by" || *name == "trusted")
        .map(|(name, value)| (title_case(name), value.replace(',', " ")))
        .collect();
    Some(Source {
        uris: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        further,
    })
}

fn title_case(option: &str) -> String {
    if option == "signed-by" {
        "Signed-By".to_owned()
    } else {
        "Trusted".to_owned()
    }
}

impl Source {
    fn from_fields(fields: Vec<(String, String)>) -> Option<Self> {
        let mut source = Self::default();
        let mut binary = false;
        for (name, value) in fields {
            let words = || {
                value
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            match name.to_ascii_lowercase().as_str() {
                "types" => binary = words().iter().any(|word| word == "deb"),
                "uris" => source.uris = words().join(" "),
                "suites" => source.suites = words(),
                "components" => source.components = words(),
                "enabled" if value.eq_ignore_ascii_case("no") => return None,
                "enabled" | "architectures" => {}
                _ => source.further.push((name, value)),
            }
        }
        (binary && !source.uris.is_empty()).then_some(source)
    }

    fn offers(&self, suite: &str) -> bool {
        self.suites.iter().any(|one| one == suite)
            && self.components.iter().any(|one| one == "main")
    }

    fn with_suite(&self, suite: &str) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uris
        );
        for (name, value) in &self.further {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZAS: &str = "\
# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm
Components: main
";

    #[test]
    fn backports_are_asked_for_where_the_release_comes_from() {
        let sources = parse_stanzas(STANZAS);
        assert_eq!(sources.len(), 1);
        assert!(sources[0].offers("bookworm"));
        assert_eq!(
            sources[0].with_suite("bookworm-backports"),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\n\
             Components: main\nSigned-By: /usr/share/keyrings/archive.gpg\n"
        );
    }

    #[test]
    fn the_older_one_line_form_is_understood() {
        let line = "deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/debian bookworm main contrib # local";
        let source = parse_line(line).unwrap();
        assert!(source.offers("bookworm"));
        assert_eq!(
            source.with_suite("x"),
            "Types: deb\nURIs: https://mirror.example/debian\nSuites: x\nComponents: main\nSigned-By: /k.gpg\n"
        );
        assert_eq!(
            parse_line("# deb http://mirror.example bookworm main"),
            None
        );
        assert_eq!(
            parse_line("deb-src http://mirror.example bookworm main"),
            None
        );
    }

    #[test]
    fn a_key_written_into_the_source_stays_whole() {
        let text = "Types: deb\nURIs: u\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n";
        let sources = parse_stanzas(text);
        assert!(
            sources[0]
                .with_suite("x")
                .ends_with("Signed-By: \n -----BEGIN\n .\n abc\n")
        );
    }

    #[test]
    fn the_release_is_named_by_os_release() {
        assert_eq!(
            codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(codename("ID=other\n"), None);
    }
}
