//! `[component.<id>.tool.nokube] reuse = { requests = 1000, concurrent = 16 }`: how many requests one instance of a
//! component may serve, and how many of them at once.
//!
//! Spin ignores `tool`, and passes over metadata of a locked component that it does not know; so the same manifest and
//! the same artifact run there, with Spin's own rules of reuse.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::tree::{Node, Reader};

/// Where it stands in a locked component's metadata, and below `tool` in a manifest.
pub(crate) const KEY: &str = "nokube";

/// What a component's author says about reusing its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reuse {
    /// Requests that one instance serves before it is dropped.
    pub requests: u32,
    /// How many of them at once. Above 1 only components of WASI 0.3 can.
    #[serde(default = "one")]
    pub concurrent: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    reuse: Option<Reuse>,
}

impl Reuse {
    fn check(self) -> Result<Self, &'static str> {
        if self.requests == 0 || self.concurrent == 0 {
            return Err("`requests` and `concurrent` are at least 1");
        }
        if self.concurrent > self.requests {
            return Err("`concurrent` is more than `requests`, all that an instance ever serves");
        }
        Ok(self)
    }

    /// As it stands in a locked component's metadata.
    pub(crate) fn to_json(self) -> Value {
        json!({ "reuse": { "concurrent": self.concurrent, "requests": self.requests } })
    }

    /// From a locked component's metadata.
    pub(crate) fn from_json(value: &Value) -> Result<Option<Self>, String> {
        let tool = Tool::deserialize(value).map_err(|error| error.to_string())?;
        tool.reuse
            .map(Self::check)
            .transpose()
            .map_err(str::to_owned)
    }

    /// From `tool` of a manifest's component. What belongs to other tools is passed over, as Spin does.
    pub(crate) fn read(reader: &mut Reader<'_>, tools: &Node<'_, '_>) -> Option<Self> {
        let mut reuse = None;
        for tool in reader.table(tools) {
            if tool.key != KEY {
                continue;
            }
            for setting in reader.table(&tool.node) {
                match setting.key {
                    "reuse" => reuse = Self::read_table(reader, &setting.node),
                    other => reader.fault(
                        &setting.node,
                        format!("`{other}` is not known"),
                        "known is reuse",
                    ),
                }
            }
        }
        reuse
    }

    fn read_table(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<Self> {
        let (mut requests, mut concurrent) = (None, Some(1));
        for entry in reader.table(node) {
            let number = |reader: &mut Reader<'_>| {
                let number = reader.unsigned(&entry.node)?;
                // More than any platform allows is cut down by the platform, not refused.
                Some(u32::try_from(number).unwrap_or(u32::MAX))
            };
            match entry.key {
                "requests" => requests = number(reader),
                "concurrent" => concurrent = number(reader),
                other => reader.fault(
                    &entry.node,
                    format!("`{other}` is not known"),
                    "known are requests, concurrent",
                ),
            }
        }
        let (Some(requests), Some(concurrent)) = (requests, concurrent) else {
            if node
                .value
                .as_table()
                .is_some_and(|table| !table.contains_key("requests"))
            {
                reader.fault(node, "`requests` is missing", "add `requests = 1000`");
            }
            return None;
        };
        let reuse = Self {
            requests,
            concurrent,
        };
        reuse
            .check()
            .inspect_err(|message| {
                let remedy = "such as `{ requests = 1000, concurrent = 16 }`";
                reader.fault(node, *message, remedy);
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locked::{ContentRef, LockedApp};
    use crate::manifest::{ComponentContent, Manifest};

    fn manifest(reuse: &str) -> String {
        format!(
            "spin_manifest_version = 2\napplication = {{ name = \"a\" }}\n\
             trigger.http = [{{ route = \"/\", component = \"c\" }}]\n\
             [component.c]\nsource = \"c.wasm\"\n\
             [component.c.tool]\nother.reuse = true\nnokube.reuse = {reuse}\n"
        )
    }

    fn locked(reuse: &str) -> LockedApp {
        let manifest = Manifest::parse(&manifest(reuse)).unwrap();
        manifest.lock(|_| ComponentContent {
            source: ContentRef {
                digest: Some(format!("sha256:{}", "0".repeat(64))),
                ..ContentRef::default()
            },
            files: Vec::new(),
        })
    }

    #[test]
    fn what_a_manifest_says_is_carried_by_its_locked_form() {
        for (text, requests, concurrent) in [
            ("{ requests = 1000, concurrent = 16 }", 1000, 16),
            ("{ requests = 5 }", 5, 1),
            ("{ requests = 99999999999 }", u32::MAX, 1),
        ] {
            let app = locked(text);
            let read = LockedApp::from_json(&app.to_json()).unwrap();
            let said = Reuse {
                requests,
                concurrent,
            };
            assert_eq!(read.components[0].reuse(), Some(said), "{text}");
            assert_eq!(read, app);
        }
    }

    #[test]
    fn nonsense_in_a_manifest_is_told_with_its_place() {
        for (text, path) in [
            ("true", "reuse"),
            ("{}", "reuse"),
            ("{ requests = 0 }", "reuse"),
            ("{ requests = 2, concurrent = 0 }", "reuse"),
            ("{ requests = 2, concurrent = 3 }", "reuse"),
            ("{ requests = -1 }", "reuse.requests"),
            ("{ requests = 2, concurent = 2 }", "reuse.concurent"),
        ] {
            let faults = Manifest::parse(&manifest(text)).unwrap_err().0;
            let told: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
            assert_eq!(told, [format!("component.c.tool.nokube.{path}")], "{text}");
        }
        let unknown = manifest("{ requests = 2 }").replace("nokube.reuse", "nokube.reuze");
        assert_eq!(Manifest::parse(&unknown).unwrap_err().0.len(), 1);
    }

    #[test]
    fn nonsense_in_an_artifact_is_refused() {
        for bad in [
            json!(1),
            json!({ "reuse": { "concurrent": 2 } }),
            json!({ "reuse": { "requests": 1, "concurrent": 2 } }),
            json!({ "reuse": { "requests": 2 }, "more": 1 }),
        ] {
            let mut app = locked("{ requests = 2 }");
            app.components[0]
                .metadata
                .insert(KEY.to_owned(), bad.clone());
            assert!(LockedApp::from_json(&app.to_json()).is_err(), "{bad}");
        }
    }
}
