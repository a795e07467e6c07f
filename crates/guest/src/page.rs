//! Lists that are read page by page.

use nokube_api::page::{Paged, Pagination};
use nokube_api::problem::FieldFault;
use serde::Serialize;

use crate::{Ctx, Error, Response};

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// Keeps `(page - 1) * limit` far from overflow; no list of ours is that long.
const MAX_PAGE: u64 = 1_000_000;

/// Which page was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    page: u64,
    limit: u64,
}

impl Paging {
    pub(crate) fn from_query(page: Option<&str>, limit: Option<&str>) -> Result<Self, Error> {
        let mut faults = Vec::new();
        let mut number = |name: &str, text: Option<&str>, default: u64, max: u64| {
            let value = text.map_or(Some(default), |text| text.parse().ok());
            value
                .filter(|value| (1..=max).contains(value))
                .unwrap_or_else(|| {
                    faults.push(FieldFault {
                        pointer: format!("/{name}"),
                        detail: format!("must be a whole number from 1 to {max}"),
                        r#in: Some("query".to_owned()),
                    });
                    default
                })
        };
        let page = number("page", page, 1, MAX_PAGE);
        let limit = number("limit", limit, DEFAULT_LIMIT, MAX_LIMIT);
        if faults.is_empty() {
            Ok(Self { page, limit })
        } else {
            Err(Error::Invalid(faults))
        }
    }

    /// For `LIMIT`.
    #[must_use]
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// For `OFFSET`.
    #[must_use]
    pub fn offset(self) -> u64 {
        (self.page - 1) * self.limit
    }

    /// The answer: this page, where it is in the whole, and links to the others (RFC 8288).
    #[must_use]
    pub fn answer<T: Serialize>(self, cx: &Ctx, data: Vec<T>, total: u64) -> Response {
        let pages = total.div_ceil(self.limit);
        let pagination = Pagination {
            page: self.page,
            limit: self.limit,
            total,
            pages,
        };
        let response = Response::ok(&Paged { data, pagination });
        let links = self.links(cx, pages);
        if links.is_empty() {
            response
        } else {
            response.header("link", links)
        }
    }

    fn links(self, cx: &Ctx, pages: u64) -> String {
        let mut links = Vec::new();
        let mut link = |relation: &str, page: u64| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in cx.query_pairs() {
                if name != "page" && name != "limit" {
                    query.append_pair(&name, &value);
                }
            }
            query.append_pair("page", &page.to_string());
            query.append_pair("limit", &self.limit.to_string());
            let query = query.finish();
            links.push(format!("<{}?{query}>; rel=\"{relation}\"", cx.path()));
        };
        if pages > 0 {
            link("first", 1);
            if self.page > 1 {
                link("prev", (self.page - 1).min(pages));
            }
            if self.page < pages {
                link("next", self.page + 1);
            }
            link("last", pages);
        }
        links.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_bounds_and_both_faults_are_told() {
        let paging = Paging::from_query(Some("3"), Some("50")).unwrap();
        assert_eq!((paging.offset(), paging.limit()), (100, 50));
        assert!(Paging::from_query(None, None).is_ok());
        let refused = Paging::from_query(Some("0"), Some("101"));
        assert!(matches!(refused, Err(Error::Invalid(faults)) if faults.len() == 2));
        assert!(Paging::from_query(Some("x"), None).is_err());
    }
}
