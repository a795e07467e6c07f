//! The runtime configuration file (`--runtime-config-file`): what labels and variables stand on.
//!
//! Read as Spin does it; keys we don't know are refused by name, with their line. Nothing is opened
//! here. Relative paths stay as written: those of databases are relative to the current directory,
//! those of key-value stores to the configuration file's folder, as in Spin.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::Faults;
use crate::ids;
use crate::tree::{Entry, Node, Reader, entries};

/// A text that `Debug` doesn't show.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// A parsed runtime configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `[sqlite_database.<label>]`.
    pub sqlite_databases: BTreeMap<String, SqliteDatabase>,
    /// `[key_value_store.<label>]`.
    pub key_value_stores: BTreeMap<String, KeyValueStore>,
    /// `[[variables_provider]]`, to be asked in turn.
    pub variables_providers: Vec<VariablesProvider>,
    /// The most memory of an instance, in bytes.
    pub max_instance_memory: Option<u64>,
    /// Where state is kept.
    pub state_dir: DirSetting,
    /// Where logs are kept.
    pub log_dir: DirSetting,
}

/// A folder that may be set, left alone, or turned off with `""`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DirSetting {
    /// Not mentioned.
    #[default]
    Default,
    /// `""`: nothing is kept.
    Off,
    /// This one.
    At(String),
}

/// What a database label stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqliteDatabase {
    /// A file, or memory when there is no path.
    Spin {
        /// Relative to the current directory.
        path: Option<String>,
        /// Whether `ATTACH` may open other files.
        allow_attach_file: bool,
    },
    /// A libSQL server.
    LibSql {
        /// Its address.
        url: String,
        /// Its token.
        token: Hidden,
    },
}

/// What a label of a key-value store stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValueStore {
    /// A file, or memory when there is no path.
    Spin {
        /// Relative to the configuration file's folder.
        path: Option<String>,
    },
    /// A Redis server.
    Redis {
        /// Its address; may hold a password.
        url: Hidden,
    },
}

/// Where variables come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariablesProvider {
    /// Values in the file itself.
    Static {
        /// By name.
        values: BTreeMap<String, Hidden>,
    },
    /// Environment variables.
    Env {
        /// In front of `_<NAME>`; `SPIN_VARIABLE` when missing.
        prefix: Option<String>,
        /// A dotenv file beside them.
        dotenv_path: Option<String>,
    },
    /// HashiCorp Vault.
    Vault {
        /// Its address.
        url: String,
        /// Its token.
        token: Hidden,
        /// The mount point of its key-value engine.
        mount: String,
        /// In front of every key.
        prefix: Option<String>,
    },
}

impl RuntimeConfig {
    /// Parses a runtime configuration.
    ///
    /// # Errors
    /// Every fault, with its line.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let (mut reader, root) = Reader::parse(text);
        if reader.has_faults() {
            return Err(Faults(reader.into_faults()));
        }
        let mut config = Self::default();
        for entry in entries(root.get_ref(), "") {
            let node = &entry.node;
            match entry.key {
                "sqlite_database" => {
                    config.sqlite_databases = labelled(&mut reader, node, read_sqlite);
                }
                "key_value_store" => {
                    config.key_value_stores = labelled(&mut reader, node, read_key_value);
                }
                "variables_provider" => {
                    config.variables_providers = reader
                        .array(node)
                        .iter()
                        .filter_map(|item| read_provider(&mut reader, item))
                        .collect();
                }
                "max_instance_memory" => config.max_instance_memory = reader.unsigned(node),
                "state_dir" => config.state_dir = read_dir(&mut reader, node),
                "log_dir" => config.log_dir = read_dir(&mut reader, node),
                "config_provider" => reader.fault(
                    node,
                    "`config_provider` is not supported",
                    "its name is `variables_provider`",
                ),
                other => reader.fault(
                    node,
                    format!("`{other}` is not supported in a runtime configuration"),
                    "known are sqlite_database, key_value_store, variables_provider, \
                     max_instance_memory, state_dir, log_dir",
                ),
            }
        }
        Faults::none_or(reader.into_faults(), config)
    }
}

fn read_dir(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> DirSetting {
    match reader.string(node) {
        None => DirSetting::Default,
        Some(path) if path.is_empty() => DirSetting::Off,
        Some(path) => DirSetting::At(path),
    }
}

fn labelled<T>(
    reader: &mut Reader<'_>,
    node: &Node<'_, '_>,
    read: impl Fn(&mut Reader<'_>, &Node<'_, '_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for entry in reader.table(node) {
        if let Err(message) = ids::check_label(entry.key) {
            reader.fault(
                &entry.node,
                message,
                "use words such as `default` or `my-store`",
            );
        }
        if let Some(one) = read(reader, &entry.node) {
            all.insert(entry.key.to_owned(), one);
        }
    }
    all
}

/// The fields of a table with a `type`, by name; fields that the type doesn't have are noted.
struct Typed<'a, 'i> {
    node: Node<'a, 'i>,
    fields: Vec<Entry<'a, 'i>>,
    kind: String,
}

impl<'a, 'i> Typed<'a, 'i> {
    fn read(
        reader: &mut Reader<'_>,
        node: &Node<'a, 'i>,
        known: &[(&str, &[&str])],
    ) -> Option<Self> {
        let fields = reader.table(node);
        let kinds: Vec<_> = known.iter().map(|(kind, _)| *kind).collect();
        let Some(field) = fields.iter().find(|field| field.key == "type") else {
            if node.value.is_table() {
                reader.fault(
                    node,
                    "`type` is missing",
                    format!("known are {}", kinds.join(", ")),
                );
            }
            return None;
        };
        let kind = reader.string(&field.node)?;
        let Some((_, names)) = known.iter().find(|(known, _)| *known == kind) else {
            reader.fault(
                &field.node,
                format!("the type `{kind}` is not supported"),
                format!("known are {}", kinds.join(", ")),
            );
            return None;
        };
        for field in &fields {
            if field.key != "type" && !names.contains(&field.key) {
                reader.fault(
                    &field.node,
                    format!("`{}` is not known for the type `{kind}`", field.key),
                    format!("known are {}", names.join(", ")),
                );
            }
        }
        Some(Self {
            node: node.clone(),
            fields,
            kind,
        })
    }

    fn get(&self, key: &str) -> Option<&Node<'a, 'i>> {
        let field = self.fields.iter().find(|field| field.key == key)?;
        Some(&field.node)
    }

    fn text(&self, reader: &mut Reader<'_>, key: &str) -> Option<String> {
        self.get(key).and_then(|node| reader.string(node))
    }

    fn required(&self, reader: &mut Reader<'_>, key: &str) -> Option<String> {
        if self.get(key).is_none() {
            reader.fault(
                &self.node,
                format!("`{key}` is missing"),
                format!("the type `{}` needs it", self.kind),
            );
        }
        self.text(reader, key)
    }
}

fn read_sqlite(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<SqliteDatabase> {
    let known: [(&str, &[&str]); 2] = [
        ("spin", &["path", "allow_attach_file"]),
        ("libsql", &["url", "token"]),
    ];
    let typed = Typed::read(reader, node, &known)?;
    if typed.kind == "spin" {
        return Some(SqliteDatabase::Spin {
            path: typed.text(reader, "path"),
            allow_attach_file: typed
                .get("allow_attach_file")
                .and_then(|node| reader.boolean(node))
                .unwrap_or_default(),
        });
    }
    let url = typed.required(reader, "url");
    let token = typed.required(reader, "token");
    Some(SqliteDatabase::LibSql {
        url: url?,
        token: Hidden(token?),
    })
}

fn read_key_value(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<KeyValueStore> {
    let known: [(&str, &[&str]); 2] = [("spin", &["path"]), ("redis", &["url"])];
    let typed = Typed::read(reader, node, &known)?;
    if typed.kind == "spin" {
        return Some(KeyValueStore::Spin {
            path: typed.text(reader, "path"),
        });
    }
    let url = typed.required(reader, "url")?;
    Some(KeyValueStore::Redis { url: Hidden(url) })
}

fn read_provider(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<VariablesProvider> {
    let known: [(&str, &[&str]); 3] = [
        ("static", &["values"]),
        ("env", &["prefix", "dotenv_path"]),
        ("vault", &["url", "token", "mount", "prefix"]),
    ];
    let typed = Typed::read(reader, node, &known)?;
    match typed.kind.as_str() {
        "static" => {
            let Some(values) = typed.get("values") else {
                reader.fault(node, "`values` is missing", "add `values = { … }`");
                return None;
            };
            let values = reader
                .table(values)
                .into_iter()
                .filter_map(|entry| {
                    let value = reader.string(&entry.node)?;
                    Some((entry.key.to_owned(), Hidden(value)))
                })
                .collect();
            Some(VariablesProvider::Static { values })
        }
        "env" => Some(VariablesProvider::Env {
            prefix: typed.text(reader, "prefix"),
            dotenv_path: typed.text(reader, "dotenv_path"),
        }),
        _ => {
            let url = typed.required(reader, "url");
            let token = typed.required(reader, "token");
            let mount = typed.required(reader, "mount");
            Some(VariablesProvider::Vault {
                url: url?,
                token: Hidden(token?),
                mount: mount?,
                prefix: typed.text(reader, "prefix"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spin_md_lists_is_read() {
        let config = RuntimeConfig::parse(
            r#"
            max_instance_memory = 134217728
            state_dir = "state"
            log_dir = ""
            [sqlite_database.default]
            type = "spin"
            path = "db/a.db"
            [sqlite_database.far]
            type = "libsql"
            url = "https://db.example.com"
            token = "hunter2"
            [key_value_store.default]
            type = "spin"
            [key_value_store.cache]
            type = "redis"
            url = "redis://:hunter2@localhost"
            [[variables_provider]]
            type = "static"
            values = { a = "hunter2" }
            [[variables_provider]]
            type = "env"
            prefix = "P"
            [[variables_provider]]
            type = "vault"
            url = "http://127.0.0.1:8200"
            token = "hunter2"
            mount = "secret"
            "#,
        )
        .unwrap();
        assert_eq!(config.max_instance_memory, Some(128 * 1024 * 1024));
        assert_eq!(config.state_dir, DirSetting::At("state".into()));
        assert_eq!(config.log_dir, DirSetting::Off);
        assert_eq!(config.sqlite_databases.len(), 2);
        assert_eq!(config.key_value_stores.len(), 2);
        assert_eq!(config.variables_providers.len(), 3);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn every_unknown_key_is_refused_by_name_with_its_line() {
        let faults = RuntimeConfig::parse(
            "llm_compute = 1\n[sqlite_database.default]\ntype = \"spin\"\npth = \"x\"\n\
             [sqlite_database.b]\ntype = \"oracle\"\n[key_value_store.c]\n",
        )
        .unwrap_err();
        let told: Vec<_> = faults.0.iter().map(|f| (f.line, f.path.as_str())).collect();
        assert_eq!(
            told,
            [
                (1, "llm_compute"),
                (4, "sqlite_database.default.pth"),
                (6, "sqlite_database.b.type"),
                (7, "key_value_store.c"),
            ]
        );
    }
}
