//! An object as text: what comes first for people first, everything else by name, so that the same
//! object is always the same text.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// As manifests are written everywhere.
const FIRST: [&str; 4] = ["apiVersion", "kind", "metadata", "name"];

/// `body` as one YAML document, with a line break at its end.
///
/// Texts that some reader of YAML 1.1 or 1.2 would take for something else (`no`, `1e3`, `0x1`) are
/// quoted by the writer; those with line breaks are quoted on one line.
pub(crate) fn document(body: &Value) -> String {
    let options = serde_saphyr::ser_options! {
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_with_options(&Ordered(body), options)
        .expect("JSON has nothing that YAML has not")
}

struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut names: Vec<&String> = fields.keys().collect();
                names.sort_by_key(|name| (rank(name), *name));
                let mut map = serializer.serialize_map(Some(names.len()))?;
                for name in names {
                    map.serialize_entry(name, &Ordered(&fields[name]))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Ordered(item))?;
                }
                list.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn rank(name: &str) -> usize {
    FIRST
        .iter()
        .position(|first| *first == name)
        .unwrap_or(FIRST.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_it_is_comes_first_and_the_rest_by_name() {
        let body = json!({
            "spec": { "b": 1, "a": [true, null] },
            "kind": "K", "metadata": { "namespace": "shop", "name": "x" }, "apiVersion": "v1",
        });
        assert_eq!(
            document(&body),
            "apiVersion: v1\nkind: K\nmetadata:\n  name: x\n  namespace: shop\nspec:\n  a:\n  - true\n  - null\n  b: 1\n"
        );
    }

    #[test]
    fn texts_that_look_like_something_else_stay_texts() {
        for text in [
            "no",
            "on",
            "y",
            "~",
            "null",
            "1e3",
            "0x1F",
            "012",
            "1:30",
            "2026-11-21",
            ".inf",
            "",
            " a",
            "a: b",
            "- a",
            "#",
            "a #b",
            "!tag",
            "&a",
            "*a",
            "{a}",
            "[a",
            "%x",
            "@",
            "`",
            "'",
            "\"",
            "a\nb",
            "a\n",
            "\n",
            "\t",
            "\u{85}",
            "\u{2028}",
            "---",
            "...",
            "$(HOME)",
            "\u{feff}x",
            "=",
            "<<",
            "|",
            ">",
            "?",
            "? a",
            ":",
            "a:",
            "\u{7f}",
            "\u{1}",
            "\r\n",
        ] {
            let body = json!({ "value": text, text: "key" });
            let yaml = document(&body);
            let back: Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(back, body, "{text:?}: {yaml}");
        }
    }
}
