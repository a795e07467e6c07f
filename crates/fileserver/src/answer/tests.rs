//! Answers for a small site in a temporary folder.

use std::fs;
use std::io::{Read, Seek, SeekFrom};

use tempfile::TempDir;

use super::*;
use crate::site::Settings;

struct Example {
    folder: TempDir,
    settings: Settings,
}

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("site/index.html", "<h1>home</h1>"),
            ("site/docs/index.html", "<h1>docs</h1>"),
            ("site/empty.txt", ""),
            ("site/app.js", "0123456789"),
            ("site/.env", "SECRET=1"),
            ("site/pictures/cat.png", "png"),
            ("outside.txt", "outside"),
        ] {
            let place = folder.path().join(name);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        Self {
            folder,
            settings: Settings::default(),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.folder.path().join("site").join(name), bytes).unwrap();
    }

    fn ask(&self, question: &Question) -> Answer {
        let site = Site::new(self.folder.path().join("site"), self.settings.clone());
        answer(&site, question)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&get(path))
    }
}

fn get(path: &str) -> Question {
    Question {
        method: "GET".to_owned(),
        path: path.to_owned(),
        ..Question::default()
    }
}

impl Answer {
    fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    fn into_text(self) -> String {
        let Some(body) = self.body else {
            return String::new();
        };
        let bytes = match body.content {
            Content::Memory(bytes) => bytes[body.first as usize..][..body.length as usize].to_vec(),
            Content::File(mut file) => {
                let mut bytes = vec![];
                file.seek(SeekFrom::Start(body.first)).unwrap();
                file.take(body.length).read_to_end(&mut bytes).unwrap();
                bytes
            }
        };
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn a_file_is_served_with_its_type_size_and_tag() {
    let answer = Example::new().get("/app.js");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.value("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(answer.value("content-length"), Some("10"));
    assert_eq!(answer.value("x-content-type-options"), Some("nosniff"));
    assert!(answer.value("etag").is_some_and(|tag| tag.starts_with('"')));
    assert_eq!(answer.into_text(), "0123456789");
}

#[test]
fn a_folder_is_its_index_page() {
    let example = Example::new();
    assert_eq!(example.get("/").into_text(), "<h1>home</h1>");
    assert_eq!(example.get("/docs/").into_text(), "<h1>docs</h1>");
    assert_eq!(
        example.get("/pictures/").status,
        404,
        "folders are not listed"
    );
}

#[test]
fn a_folder_without_its_slash_is_redirected_and_keeps_the_query() {
    let example = Example::new();
    let answer = example.ask(&Question {
        query: "?page=2".to_owned(),
        ..get("/docs")
    });
    assert_eq!(answer.status, 308);
    assert_eq!(answer.value("location"), Some("./docs/?page=2"));
    assert_eq!(example.get("/pictures").status, 404);
    assert_eq!(example.get("//docs").status, 404);
}

#[test]
fn a_known_version_is_not_sent_again() {
    let example = Example::new();
    let tag = example.get("/app.js").value("etag").unwrap().to_owned();
    let answer = example.ask(&Question {
        if_none_match: Some(tag.clone()),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 304);
    assert_eq!(answer.value("etag"), Some(tag.as_str()));
    assert_eq!(answer.value("content-length"), None);
    assert!(answer.body.is_none());

    example.write("app.js", b"0123456780");
    let answer = example.ask(&Question {
        if_none_match: Some(tag),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 200);
}

#[test]
fn the_head_says_what_the_page_would_say() {
    let example = Example::new();
    let answer = example.ask(&Question {
        method: "HEAD".to_owned(),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 200);
    assert_eq!(answer.value("content-length"), Some("10"));
    assert!(answer.body.is_none());
}

#[test]
fn other_methods_are_refused_and_told_which_are_not() {
    let answer = Example::new().ask(&Question {
        method: "POST".to_owned(),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 405);
    assert_eq!(answer.value("allow"), Some("GET, HEAD"));
}

#[test]
fn one_range_is_served() {
    let example = Example::new();
    let answer = example.ask(&Question {
        range: Some("bytes=2-4".to_owned()),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 206);
    assert_eq!(answer.value("content-range"), Some("bytes 2-4/10"));
    assert_eq!(answer.value("content-length"), Some("3"));
    assert_eq!(answer.into_text(), "234");

    let answer = example.ask(&Question {
        range: Some("bytes=10-".to_owned()),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 416);
    assert_eq!(answer.value("content-range"), Some("bytes */10"));
}

#[test]
fn a_range_of_an_older_version_gets_the_whole_file() {
    let answer = Example::new().ask(&Question {
        range: Some("bytes=2-4".to_owned()),
        if_range: Some("\"older\"".to_owned()),
        ..get("/app.js")
    });
    assert_eq!(answer.status, 200);
}

#[test]
fn an_empty_file_is_a_file() {
    let answer = Example::new().get("/empty.txt");
    assert_eq!(
        (answer.status, answer.value("content-length")),
        (200, Some("0"))
    );
}

#[test]
fn hidden_files_and_files_outside_are_missing() {
    let example = Example::new();
    for path in [
        "/.env",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/app.js/",
        "/app.js/x",
    ] {
        assert_eq!(example.get(path).status, 404, "{path}");
    }
}

#[test]
fn the_sites_own_page_says_what_is_missing() {
    let example = Example::new();
    example.write("404.html", b"lost?");
    for path in ["/nowhere", "/.env", "/nowhere.js"] {
        let answer = example.get(path);
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.value("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(answer.value("etag"), None);
        assert_eq!(answer.into_text(), "lost?");
    }
}

#[test]
fn an_application_that_routes_in_the_browser_answers_for_its_paths() {
    let mut example = Example::new();
    example.settings.fallback = Some("index.html".to_owned());
    let answer = example.get("/orders/17");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.into_text(), "<h1>home</h1>");
    assert_eq!(example.get("/missing.js").status, 404);
    assert_eq!(example.get("/.env").status, 404);

    example.settings.fallback = Some("../outside.txt".to_owned());
    assert_eq!(example.get("/orders/17").status, 404);
}

#[test]
fn a_big_file_stays_on_disk_and_its_ranges_are_right() {
    let example = Example::new();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
    example.write("big.bin", &big);
    let answer = example.get("/big.bin");
    assert!(matches!(
        answer.body.as_ref().unwrap().content,
        Content::File(_)
    ));
    assert_eq!(answer.value("content-length"), Some("3000000"));
    assert_eq!(answer.into_text().as_bytes(), big);

    let answer = example.ask(&Question {
        range: Some("bytes=1500000-1500003".to_owned()),
        ..get("/big.bin")
    });
    assert_eq!(answer.into_text().as_bytes(), &big[1_500_000..1_500_004]);
}
