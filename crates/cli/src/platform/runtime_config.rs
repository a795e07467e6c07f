//! The runtime configuration of `nokube up` (`--runtime-config`): which files labels stand for and which variables have
//! values, from the same file that `spin up` reads.
//!
//! What is not done here is refused by name, with what to do instead: nothing in the file is left out without a word.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use nokube_sidecar::durable::create_private_dir;
use nokube_spinapp::locked::{LockedApp, LockedVariable};
use nokube_spinapp::runtime_config::{
    DirSetting, KeyValueStore, RuntimeConfig, SqliteDatabase, VariablesProvider,
};
use nokube_spinapp::variables::{EnvProvider, Provider, StaticProvider, parse_dotenv};

/// Where a platform that Spin started in the repository's folder has its databases: the same file then means the
/// same place to both.
const DATABASES_UNDER_SPIN: &str = "data/db";

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<RuntimeConfig> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let config = RuntimeConfig::parse(&text)
        .map_err(|faults| anyhow::anyhow!("{} has faults:\n{faults}", path.display()))?;
    let refused = refused(&config);
    if !refused.is_empty() {
        bail!(
            "{} asks for what `nokube up` does not do:\n{}",
            path.display(),
            refused.join("\n")
        );
    }
    Ok(config)
}

/// What is asked for and not done, each with what to do instead.
fn refused(config: &RuntimeConfig) -> Vec<String> {
    let mut refused = Vec::new();
    if config.state_dir != DirSetting::Default {
        refused
            .push("state_dir: everything is kept below --data-dir; give that instead".to_owned());
    }
    if config.log_dir != DirSetting::Default {
        refused.push("log_dir: logs are kept below --data-dir, in logs/; remove it".to_owned());
    }
    for (label, database) in &config.sqlite_databases {
        match database {
            SqliteDatabase::Spin { allow_attach_file: true, .. } => refused.push(format!(
                "sqlite_database.{label}.allow_attach_file: no database attaches files here; remove it"
            )),
            SqliteDatabase::LibSql { .. } => refused.push(format!(
                "sqlite_database.{label}: libSQL servers are not used; write type = \"spin\", or run the platform under Spin"
            )),
            SqliteDatabase::Spin { .. } => {}
        }
    }
    for (label, store) in &config.key_value_stores {
        if let KeyValueStore::Redis { .. } = store {
            refused.push(format!(
                "key_value_store.{label}: Redis is not used; write type = \"spin\", or run the platform under Spin"
            ));
        }
    }
    let vault = |provider: &VariablesProvider| matches!(provider, VariablesProvider::Vault { .. });
    if config.variables_providers.iter().any(vault) {
        refused.push(
            "variables_provider: Vault is not asked; use the types `static` and `env`, or --variable"
                .to_owned(),
        );
    }
    refused
}

/// The files of an application's databases and key-value stores, by label.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stores {
    pub(super) sqlite: BTreeMap<String, PathBuf>,
    pub(super) key_value: BTreeMap<String, PathBuf>,
}

/// A file for each label, below `databases` unless its path is absolute. One without a path is a file named by its
/// label, where Spin would keep it in memory. Folders below `databases` are made.
pub(super) fn stores(
    locked: &LockedApp,
    config: &RuntimeConfig,
    databases: &Path,
) -> anyhow::Result<Stores> {
    let mut stores = Stores::default();
    for component in &locked.components {
        for label in component.sqlite_databases() {
            let path = match config.sqlite_databases.get(label) {
                Some(SqliteDatabase::Spin { path, .. }) => path.as_deref(),
                Some(SqliteDatabase::LibSql { .. }) | None => None,
            };
            let file = file_of(databases, path, &format!("{label}.db"))
                .with_context(|| format!("sqlite_database.{label}.path"))?;
            stores.sqlite.insert(label.to_owned(), file);
        }
        for label in component.key_value_stores() {
            let path = match config.key_value_stores.get(label) {
                Some(KeyValueStore::Spin { path }) => path.as_deref(),
                Some(KeyValueStore::Redis { .. }) | None => None,
            };
            let file = file_of(databases, path, &format!("{label}.kv"))
                .with_context(|| format!("key_value_store.{label}.path"))?;
            stores.key_value.insert(label.to_owned(), file);
        }
    }
    for file in stores.sqlite.values().chain(stores.key_value.values()) {
        if let Some(dir) = file.parent().filter(|dir| dir.starts_with(databases)) {
            create_private_dir(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        }
    }
    Ok(stores)
}

fn file_of(databases: &Path, path: Option<&str>, default: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(path.unwrap_or(default));
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let below = path.strip_prefix(DATABASES_UNDER_SPIN).unwrap_or(path);
    let stays = below
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || below.file_name().is_none() {
        bail!(
            "{} is no file below the data folder; give one without `..`, or an absolute path",
            path.display()
        );
    }
    Ok(databases.join(below))
}

/// Values for the `declared` variables from the providers in turn: the first that has one wins. `environment` is what
/// `type = "env"` reads.
pub(super) fn variables(
    config: &RuntimeConfig,
    declared: &BTreeMap<String, LockedVariable>,
    environment: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut providers: Vec<Box<dyn Provider>> = Vec::new();
    for provider in &config.variables_providers {
        match provider {
            VariablesProvider::Static { values } => {
                let values = values
                    .iter()
                    .map(|(name, value)| (name.clone(), value.expose().to_owned()));
                providers.push(Box::new(StaticProvider::new(values.collect())));
            }
            VariablesProvider::Env {
                prefix,
                dotenv_path,
            } => {
                let dotenv = match dotenv_path {
                    None => BTreeMap::new(),
                    // Relative to the current folder, as in Spin.
                    Some(path) => parse_dotenv(&fs::read_to_string(path).with_context(|| {
                        format!("variables_provider.dotenv_path: {path} cannot be read")
                    })?),
                };
                let environment = environment.clone();
                providers.push(Box::new(EnvProvider::new(
                    prefix.as_deref(),
                    environment,
                    dotenv,
                )));
            }
            VariablesProvider::Vault { .. } => bail!("variables from Vault are not supported"),
        }
    }
    let value_of = |name: &String| providers.iter().find_map(|provider| provider.get(name));
    Ok(declared
        .keys()
        .filter_map(|name| Some((name.clone(), value_of(name)?)))
        .collect())
}

/// This process's environment, as far as it is text.
pub(super) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use nokube_spinapp::locked::LockedComponent;

    use super::*;

    fn parse(text: &str) -> RuntimeConfig {
        RuntimeConfig::parse(text).unwrap()
    }

    fn app(databases: &[&str], stores: &[&str]) -> LockedApp {
        let mut component = LockedComponent::default();
        for (key, labels) in [("databases", databases), ("key_value_stores", stores)] {
            component
                .metadata
                .insert(key.to_owned(), serde_json::json!(labels));
        }
        LockedApp {
            components: vec![component],
            ..LockedApp::default()
        }
    }

    #[test]
    fn what_is_not_done_is_refused_by_name_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(
            &path,
            r#"
            state_dir = "state"
            log_dir = ""
            [sqlite_database.a]
            type = "spin"
            allow_attach_file = true
            [sqlite_database.b]
            type = "libsql"
            url = "https://db.example.com"
            token = "hunter2"
            [key_value_store.c]
            type = "redis"
            url = "redis://:hunter2@localhost"
            [[variables_provider]]
            type = "vault"
            url = "http://127.0.0.1:8200"
            token = "hunter2"
            mount = "secret"
            "#,
        )
        .unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        for named in [
            "state_dir: ",
            "--data-dir",
            "log_dir: ",
            "sqlite_database.a.allow_attach_file: ",
            "sqlite_database.b: libSQL",
            "key_value_store.c: Redis",
            "variables_provider: Vault",
        ] {
            assert!(error.contains(named), "{named} is missing: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_relative_path_is_kept_below_the_data_folder() {
        let data = tempfile::tempdir().unwrap();
        let databases = data.path().join("db");
        let config = parse(
            r#"
            [sqlite_database.auth]
            type = "spin"
            path = "data/db/auth.db"
            [sqlite_database.platform]
            type = "spin"
            path = "./state/platform.sqlite"
            [sqlite_database.far]
            type = "spin"
            path = "/srv/far.db"
            [key_value_store.default]
            type = "spin"
            "#,
        );
        let app = app(&["auth", "platform", "far", "other"], &["default", "cache"]);
        let stores = stores(&app, &config, &databases).unwrap();
        let expected = [
            ("auth", databases.join("auth.db")),
            ("far", PathBuf::from("/srv/far.db")),
            ("other", databases.join("other.db")),
            ("platform", databases.join("state/platform.sqlite")),
        ];
        let expected = expected.map(|(label, path)| (label.to_owned(), path));
        assert_eq!(stores.sqlite, BTreeMap::from(expected));
        assert_eq!(stores.key_value["default"], databases.join("default.kv"));
        assert_eq!(stores.key_value["cache"], databases.join("cache.kv"));
        assert!(databases.join("state").is_dir());
    }

    #[test]
    fn a_path_that_leads_out_of_the_data_folder_is_refused() {
        for path in [
            "../auth.db",
            "a/../../auth.db",
            "data/db/../keys.env",
            ".",
            "",
        ] {
            let config = parse(&format!(
                "[sqlite_database.auth]\ntype = \"spin\"\npath = \"{path}\""
            ));
            let error = stores(&app(&["auth"], &[]), &config, Path::new("/nowhere")).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains("sqlite_database.auth.path: "), "{error}");
        }
    }

    #[test]
    fn variables_come_from_the_first_provider_that_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let dotenv = dir.path().join(".env");
        fs::write(&dotenv, "SPIN_VARIABLE_B=dotenv\nSPIN_VARIABLE_C=dotenv\n").unwrap();
        let config = parse(&format!(
            r#"
            [[variables_provider]]
            type = "env"
            dotenv_path = "{}"
            [[variables_provider]]
            type = "static"
            values = {{ a = "static", b = "static", d = "static", undeclared = "static" }}
            [[variables_provider]]
            type = "env"
            prefix = "MINE"
            "#,
            dotenv.display()
        ));
        let environment = BTreeMap::from(
            [
                ("SPIN_VARIABLE_A", "environment"),
                ("SPIN_VARIABLE_B", "environment"),
                ("SPIN_VARIABLE_UNDECLARED", "environment"),
                ("MINE_D", "mine"),
                ("MINE_E", "mine"),
                ("F", "no prefix"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let declared = ["a", "b", "c", "d", "e", "f"];
        let declared = declared.map(|name| (name.to_owned(), LockedVariable::default()));
        let declared = BTreeMap::from(declared);
        let found = variables(&config, &declared, &environment).unwrap();
        let expected = [
            ("a", "environment"),
            ("b", "environment"),
            ("c", "dotenv"),
            ("d", "static"),
            ("e", "mine"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_dotenv_file_that_is_not_there_is_told() {
        let config =
            parse("[[variables_provider]]\ntype = \"env\"\ndotenv_path = \"/nowhere/.env\"");
        let error = variables(&config, &BTreeMap::new(), &BTreeMap::new()).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/.env"), "{error:#}");
    }
}
