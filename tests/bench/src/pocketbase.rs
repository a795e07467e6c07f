//! PocketBase (github.com/pocketbase/pocketbase), the peer for events and signing in: also SQLite, also one process.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nokube_tests::wait::until;
use reqwest::{Client, Method};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::events::{Calls, USERS, event, owned, request, start_ms, status, title};
use crate::load::Contestant;

const START: Duration = Duration::from_secs(60);
const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "correct horse bench";

/// A running PocketBase with the same events and users.
pub(crate) struct PocketBase {
    address: SocketAddr,
    pid: u32,
    pub(crate) calls: Calls,
    pub(crate) refresh: String,
    _child: Child,
    _folder: TempDir,
}

impl PocketBase {
    /// Starts it, makes its collection, fills it.
    pub(crate) async fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // It keeps what changed its collections beside its data.
        let data = folder.path().join("data");
        let made = Command::new(program)
            .args(["superuser", "upsert", EMAIL, PASSWORD, "--dir"])
            .arg(&data)
            .output()
            .await?;
        ensure!(made.status.success(), "PocketBase takes no superuser");
        let (mut first, address) = serve(program, &data).await?;
        let user_id = make_collection(&address).await?;
        first.kill().await?;
        fill(&data.join("data.db"), &user_id)?;
        let (child, address) = serve(program, &data).await?;
        let client = Client::new();
        let login = json!({ "identity": EMAIL, "password": PASSWORD });
        let path = "/api/collections/users/auth-with-password";
        let session = call(&client, &address, Method::POST, path, None, &login).await?;
        let token = session["token"].as_str().context("a token")?.to_owned();
        let mut new = event(0, "published");
        new["owner"] = user_id.as_str().into();
        let records = "/api/collections/events/records";
        let made = call(&client, &address, Method::POST, records, Some(&token), &new).await?;
        let id = made["id"].as_str().context("an id")?;
        let host = address.to_string();
        let get = |path: String| request("GET", &host, &path, Some(&token), None);
        let page = format!("{records}?perPage=20&sort=start_date");
        let calls = Calls {
            list: get(page.clone()),
            filter: get(format!("{page}&filter=(status='published')")),
            search: get(format!("{page}&filter=(title~'spring')")),
            get: get(format!("{records}/{id}")),
            create: request("POST", &host, records, Some(&token), Some(&new)),
            login: request("POST", &host, path, None, Some(&login)),
        };
        let refresh = "/api/collections/users/auth-refresh";
        Ok(Self {
            refresh: request("POST", &host, refresh, Some(&token), Some(&json!({}))),
            pid: child.id().context("PocketBase ended")?,
            address,
            calls,
            _child: child,
            _folder: folder,
        })
    }

    /// It, being asked this.
    pub(crate) fn contestant(&self, request: &str) -> Contestant {
        Contestant {
            name: "pocketbase".to_owned(),
            address: self.address,
            pids: vec![self.pid],
            requests: vec![request.to_owned()],
        }
    }
}

async fn serve(program: &Path, data: &Path) -> anyhow::Result<(Child, SocketAddr)> {
    // It takes no listening socket; the port is free until it asks for it, and nobody else asks.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new(program)
        .args(["serve", "--http"])
        .arg(address.to_string())
        .arg("--dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    until("PocketBase to answer", START, || async {
        reqwest::get(format!("http://{address}/api/health"))
            .await
            .ok()
            .filter(|answer| answer.status().is_success())
    })
    .await;
    Ok((child, address))
}

async fn call(
    client: &Client,
    address: &SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> anyhow::Result<Value> {
    let mut request = client
        .request(method, format!("http://{address}{path}"))
        .json(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "PocketBase at {path}: {status} {text}");
    Ok(serde_json::from_str(&text)?)
}

/// Events as its documentation would have them: each its owner's, with an index of the order they are listed in.
async fn make_collection(address: &SocketAddr) -> anyhow::Result<String> {
    let client = Client::new();
    let login = json!({ "identity": EMAIL, "password": PASSWORD });
    let path = "/api/collections/_superusers/auth-with-password";
    let session = call(&client, address, Method::POST, path, None, &login).await?;
    let token = session["token"].as_str();
    let user = json!({ "email": EMAIL, "password": PASSWORD, "passwordConfirm": PASSWORD });
    let path = "/api/collections/users/records";
    let user = call(&client, address, Method::POST, path, token, &user).await?;
    let path = "/api/collections/users";
    let users = call(&client, address, Method::GET, path, token, &json!({})).await?;
    let own = "owner = @request.auth.id";
    let collection = json!({
        "name": "events", "type": "base",
        "listRule": own, "viewRule": own, "createRule": own, "updateRule": own, "deleteRule": own,
        "fields": [
            { "name": "title", "type": "text", "required": true, "max": 200 },
            { "name": "description", "type": "text", "max": 2000 },
            { "name": "start_date", "type": "date", "required": true },
            { "name": "end_date", "type": "date", "required": true },
            { "name": "status", "type": "select", "required": true, "maxSelect": 1,
              "values": ["draft", "published", "archived"] },
            { "name": "owner", "type": "relation", "required": true, "maxSelect": 1,
              "collectionId": users["id"] },
            { "name": "created", "type": "autodate", "onCreate": true },
            { "name": "updated", "type": "autodate", "onCreate": true, "onUpdate": true }
        ],
        "indexes": [
            "CREATE INDEX events_by_start ON events (owner, start_date)",
            "CREATE INDEX events_by_status ON events (owner, status, start_date)"
        ]
    });
    let path = "/api/collections";
    call(&client, address, Method::POST, path, token, &collection).await?;
    let id = user["id"].as_str().context("a user's id")?;
    Ok(id.to_owned())
}

fn fill(file: &Path, user_id: &str) -> anyhow::Result<()> {
    let mut database = Connection::open(file)?;
    let transaction = database.transaction()?;
    for number in 1..=USERS {
        transaction.execute(
            "INSERT INTO users (id, email, tokenKey, password, verified, emailVisibility, created, updated) \
             SELECT ?1, ?1 || '@example.com', ?2, password, 1, 0, created, updated \
             FROM users WHERE id = ?3",
            params![id(number), format!("{:0>50}", id(number)), user_id],
        )?;
    }
    for (user, number) in owned() {
        let owner = if user == 0 {
            user_id.to_owned()
        } else {
            id(user)
        };
        transaction.execute(
            "INSERT INTO events (id, title, description, start_date, end_date, status, owner, created, updated) \
             VALUES (?1, ?2, 'What we tell whom, and when', \
             strftime('%Y-%m-%d %H:%M:%S.000Z', ?3, 'unixepoch'), \
             strftime('%Y-%m-%d %H:%M:%S.000Z', ?3 + 3600, 'unixepoch'), ?4, ?5, \
             '2027-01-01 00:00:00.000Z', '2027-01-01 00:00:00.000Z')",
            params![id(number), title(number), start_ms(number) / 1000, status(number), owner],
        )?;
    }
    Ok(transaction.commit()?)
}

/// Fifteen characters, as its own are.
fn id(number: i64) -> String {
    format!("a{number:014}")
}
