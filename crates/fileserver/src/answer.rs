//! What to answer: status, headers and which bytes, decided without knowing how they are sent.

use crate::etag;
use crate::path::SitePath;
use crate::range::{self, Selection};
use crate::site::{Content, Found, Page, Site};

/// What is asked, as far as a static site cares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Question {
    /// `GET`, `HEAD`, or what will be refused.
    pub(crate) method: String,
    /// The path below the site, percent-encoded.
    pub(crate) path: String,
    /// The query with its question mark, or nothing.
    pub(crate) query: String,
    /// The header `If-None-Match`.
    pub(crate) if_none_match: Option<String>,
    /// The header `If-Range`.
    pub(crate) if_range: Option<String>,
    /// The header `Range`.
    pub(crate) range: Option<String>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Header names, in lower case, and values.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What follows them; `None` also when there would be something but only the head is asked for.
    pub(crate) body: Option<Body>,
}

/// Bytes to send.
#[derive(Debug)]
pub(crate) struct Body {
    /// Where they are.
    pub(crate) content: Content,
    /// The first one's position.
    pub(crate) first: u64,
    /// How many.
    pub(crate) length: u64,
}

/// Browsers keep files, but ask each time whether they are still good: after a deploy, a new page never meets an
/// old script, and asking costs an answer without a body.
const CACHE_CONTROL: &str = "public, max-age=0, must-revalidate";

/// Decides the answer.
pub(crate) fn answer(site: &Site, question: &Question) -> Answer {
    let mut answer = decide(site, question);
    answer.header("x-content-type-options", "nosniff".to_owned());
    if question.method == "HEAD" {
        answer.body = None;
    }
    answer
}

fn decide(site: &Site, question: &Question) -> Answer {
    if question.method != "GET" && question.method != "HEAD" {
        let mut answer = Answer::text(405, "only GET and HEAD are answered here\n");
        answer.header("allow", "GET, HEAD".to_owned());
        return answer;
    }
    let path = SitePath::parse(&question.path);
    match site.find(path.as_ref()) {
        Ok(Found::Page(page)) => page_answer(page, question),
        Ok(Found::FolderWithoutSlash) => redirect_to_folder(question),
        Ok(Found::Missing(Some(page))) => missing_answer(page),
        Ok(Found::Missing(None)) => Answer::text(404, "not found\n"),
        Err(error) => {
            // Into the application's log; a visitor learns nothing of the files.
            eprintln!("{}: {error}", question.path);
            Answer::text(500, "this file could not be read\n")
        }
    }
}

fn page_answer(page: Page, question: &Question) -> Answer {
    if etag::is_known(question.if_none_match.as_deref(), &page.tag) {
        let mut answer = Answer::empty(304);
        answer.describe(&page);
        return answer;
    }
    let range = question
        .range
        .as_deref()
        .filter(|_| question.method == "GET")
        .filter(|_| etag::allows_range(question.if_range.as_deref(), &page.tag));
    let size_bytes = page.size_bytes;
    match range::select(range, size_bytes) {
        Selection::Whole => Answer::page(200, page, 0, size_bytes),
        Selection::Part { first, last } => {
            let mut answer = Answer::page(206, page, first, last - first + 1);
            answer.header(
                "content-range",
                format!("bytes {first}-{last}/{size_bytes}"),
            );
            answer
        }
        Selection::Outside => {
            let mut answer = Answer::text(416, "nothing of this file is in that range\n");
            answer.header("content-range", format!("bytes */{size_bytes}"));
            answer
        }
    }
}

fn missing_answer(page: Page) -> Answer {
    let size_bytes = page.size_bytes;
    let mut answer = Answer::empty(404);
    answer.header("content-type", page.content_type.to_owned());
    answer.header("cache-control", "no-cache".to_owned());
    answer.fill(page.content, 0, size_bytes);
    answer
}

/// To the same path with a slash, said relative to it: below which prefix the site is served does not matter, and
/// no path can turn it into another host's address.
fn redirect_to_folder(question: &Question) -> Answer {
    let name = question.path.rsplit('/').next().unwrap_or_default();
    let mut answer = Answer::text(308, "this folder's address ends in a slash\n");
    answer.header("location", format!("./{name}/{}", question.query));
    answer
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: None,
        }
    }

    fn text(status: u16, words: &str) -> Self {
        let mut answer = Self::empty(status);
        answer.header("content-type", "text/plain; charset=utf-8".to_owned());
        answer.header("cache-control", "no-cache".to_owned());
        answer.fill(
            Content::Memory(words.as_bytes().to_vec()),
            0,
            words.len() as u64,
        );
        answer
    }

    fn page(status: u16, page: Page, first: u64, length: u64) -> Self {
        let mut answer = Self::empty(status);
        answer.describe(&page);
        answer.header("content-type", page.content_type.to_owned());
        answer.header("accept-ranges", "bytes".to_owned());
        answer.fill(page.content, first, length);
        answer
    }

    /// What a 304 repeats of a 200 (RFC 9110, section 15.4.5).
    fn describe(&mut self, page: &Page) {
        self.header("etag", page.tag.clone());
        self.header("cache-control", CACHE_CONTROL.to_owned());
    }

    fn fill(&mut self, content: Content, first: u64, length: u64) {
        self.header("content-length", length.to_string());
        self.body = Some(Body {
            content,
            first,
            length,
        });
    }

    fn header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }
}

#[cfg(test)]
mod tests;
