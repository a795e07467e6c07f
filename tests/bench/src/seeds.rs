//! Many deployments, made from ten that are released through the API: the others are copies of those, as the sidecar's
//! desired state and as rows of the platform's database. To all parts of it they are deployments like any other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::wait::until;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Modules that differ: their native code is compiled, mapped and counted for each.
const ORIGINALS: usize = 10;

const MANIFEST: &[u8] = br#"
spin_manifest_version = 2
[application]
name = "idle"
[[trigger.http]]
route = "/..."
component = "app"
[component.app]
source = "app.wasm"
"#;

/// What was released, and where copies of it go.
pub(crate) struct Seeds {
    /// The sidecar's files of deployments.
    desired: PathBuf,
    unpacked: PathBuf,
    database: PathBuf,
    originals: Vec<Original>,
    /// Their host names without the first label.
    domain: String,
    /// Their rows.
    kept: TempDir,
}

struct Original {
    id: String,
    app: Value,
}

impl Seeds {
    /// Releases the ten.
    pub(crate) async fn deploy(platform: &Platform) -> anyhow::Result<Self> {
        let api = platform
            .api()
            .register("bench", Some(platform.setup_code()))
            .await;
        let project = api.create_project("idle").await;
        let data = platform.data_dir().join("data");
        let desired = data.join("sidecar/apps");
        let mut originals = Vec::new();
        let mut domain = String::new();
        for number in 0..ORIGINALS {
            let service = format!("original-{number}");
            let source = source(number)?;
            let build = api.build(project, &service, &source.file_url()).await;
            let request = json!({
                "project_id": project, "service_name": service, "build_id": build["build_id"]
            });
            let deployed = api.deploy(&request).await;
            let id = deployed["deployment_id"].as_str().context("an id")?;
            let url = deployed["access_url"].as_str().context("an address")?;
            let (_, rest) = url.split_once('.').context("a host of several labels")?;
            domain = rest.trim_end_matches('/').to_owned();
            originals.push(Original {
                id: id.to_owned(),
                app: settled(&desired.join(format!("{id}.json"))).await,
            });
        }
        let database = data.join("db/platform.db");
        let kept = tempfile::tempdir()?;
        attached(&database, &kept)?.execute_batch(
            "CREATE TABLE kept.deployments AS SELECT * FROM main.deployments;
             CREATE TABLE kept.deployment_revisions AS SELECT * FROM main.deployment_revisions;",
        )?;
        Ok(Self {
            desired,
            unpacked: data.join("tenants/apps"),
            database,
            originals,
            domain,
            kept,
        })
    }

    /// Makes `count` deployments wanted, in place of those before. The platform must not run.
    pub(crate) fn write(&self, count: usize) -> anyhow::Result<()> {
        for file in std::fs::read_dir(&self.desired)?.flatten() {
            std::fs::remove_file(file.path())?;
        }
        let mut database = attached(&self.database, &self.kept)?;
        let transaction = database.transaction()?;
        transaction.execute_batch(
            "DELETE FROM main.deployment_revisions; DELETE FROM main.deployments;",
        )?;
        for number in 0..count {
            let Original { id: of, app } = &self.originals[number % ORIGINALS];
            let (id, service) = (id(number), service(number));
            let mut app = app.clone();
            for spec in ["wanted", "settled"] {
                app[spec]["deployment_id"] = id.as_str().into();
                app[spec]["service"] = service.as_str().into();
            }
            let file = self.desired.join(format!("{id}.json"));
            std::fs::write(file, serde_json::to_vec(&app)?)?;
            transaction.execute(
                "INSERT INTO main.deployments (id, project_id, service_name, environment, \
                 host_label, custom_domain, revision, replicas, desired, generation, \
                 acknowledged_generation, handover_failures, handover_after_ms, status, \
                 replicas_ready, replicas_total, access_url, objects, error_message, \
                 created_at_ms, updated_at_ms, settled_revision) \
                 SELECT ?1, project_id, ?2, environment, ?2, custom_domain, revision, replicas, \
                 desired, generation, acknowledged_generation, handover_failures, \
                 handover_after_ms, status, replicas_ready, replicas_total, \
                 replace(access_url, host_label || '.', ?2 || '.'), replace(objects, id, ?1), \
                 error_message, created_at_ms, updated_at_ms, settled_revision \
                 FROM kept.deployments WHERE id = ?3",
                params![id, service, of],
            )?;
            transaction.execute(
                "INSERT INTO main.deployment_revisions (deployment_id, revision, kind, build_id, \
                 image_name, digest, spec, secrets, rolled_back_to, created_by, created_by_name, \
                 created_at_ms) \
                 SELECT ?1, revision, kind, build_id, image_name, digest, spec, secrets, \
                 rolled_back_to, created_by, created_by_name, created_at_ms \
                 FROM kept.deployment_revisions WHERE deployment_id = ?2",
                params![id, of],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// How many of the first `count` are unpacked and compiled.
    pub(crate) fn prepared(&self, count: usize) -> usize {
        let is_prepared = |number: &usize| {
            std::fs::read_dir(self.unpacked.join(id(*number))).is_ok_and(|mut revisions| {
                revisions.any(|revision| {
                    revision.is_ok_and(|revision| revision.path().join("native").exists())
                })
            })
        };
        (0..count).filter(is_prepared).count()
    }

    /// The host name of one.
    pub(crate) fn host(&self, number: usize) -> String {
        format!("{}.{}", service(number), self.domain)
    }
}

fn id(number: usize) -> String {
    format!("01940000-0000-7000-8000-{number:012x}")
}

fn service(number: usize) -> String {
    format!("idle-{number}")
}

/// The platform's database, with a place for the rows of the originals beside it.
fn attached(database: &Path, kept: &TempDir) -> anyhow::Result<Connection> {
    let connection = Connection::open(database)?;
    let file = kept.path().join("rows.db").display().to_string();
    connection.execute("ATTACH ?1 AS kept", [file])?;
    Ok(connection)
}

/// A site, or one of three programs; those that are the same program differ in a custom section.
fn source(number: usize) -> anyhow::Result<Repository> {
    let wasm = match number {
        0 => {
            let site = repository_root().join("examples/static-site");
            return Ok(Repository::of_folder("site", &site));
        }
        1..=3 => nokube_tests::guests::example("hello-wasi"),
        4..=6 => nokube_tests::guests::guest("bench"),
        _ => nokube_tests::guests::world("wasi03_hello"),
    };
    let mut wasm = std::fs::read(wasm)?;
    // Section 0: its length, its name's length, its name, its content.
    let (name, content) = (b"copy", number.to_string());
    let length = u8::try_from(1 + name.len() + content.len())?;
    wasm.extend([0, length, u8::try_from(name.len())?]);
    wasm.extend(name);
    wasm.extend(content.bytes());
    let files: [(&str, &[u8]); 2] = [("spin.toml", MANIFEST), ("app.wasm", &wasm)];
    Ok(Repository::of_files("app", &files))
}

/// The sidecar's file of a deployment, once it says that the deployment runs.
async fn settled(file: &Path) -> Value {
    until(
        "the deployment to be settled",
        Duration::from_secs(10),
        || async {
            let app: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
            (!app["settled"].is_null()).then_some(app)
        },
    )
    .await
}
