//! Events and signing in, with ten thousand events and a thousand users in the database, beside PocketBase with the same.

use anyhow::Context as _;
use nokube_tests::platform::Platform;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Options;
use crate::generator::Until;
use crate::load::{Contestant, Measured, Round, ask, in_turn};
use crate::pocketbase::PocketBase;
use crate::table::Report;

const OURS: &str = "nokube";
/// Besides the one who asks.
pub(crate) const USERS: i64 = 999;
/// Of the one who asks; the others have nine each.
pub(crate) const OWN: i64 = 1_009;
pub(crate) const OTHERS: i64 = 9 * USERS;
/// Each is refreshed once.
const SESSIONS: i64 = 500;

/// What both answer.
pub(crate) struct Calls {
    pub(crate) list: String,
    pub(crate) filter: String,
    pub(crate) search: String,
    pub(crate) get: String,
    pub(crate) create: String,
    pub(crate) login: String,
}

/// An HTTP/1.1 request as it goes over the wire.
pub(crate) fn request(
    method: &str,
    host: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if let Some(token) = token {
        text.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    match body {
        Some(body) => {
            let body = body.to_string();
            text.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
        None => text.push_str("\r\n"),
    }
    text
}

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let unlimited = ["max_events_per_user", "login_limit_per_address"];
    let variables: Vec<String> = unlimited
        .iter()
        .map(|name| format!("--variable={name}=100000000"))
        .collect();
    let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
    let platform = Platform::start_with(&variables);
    let (calls, refreshes) = prepare(&platform).await?;
    let ours = |requests: Vec<String>| -> anyhow::Result<Contestant> {
        Ok(Contestant {
            name: OURS.to_owned(),
            address: platform.url().trim_start_matches("http://").parse()?,
            pids: vec![platform.pid()],
            requests,
        })
    };
    let peer = match &options.pocketbase {
        Some(program) => Some(PocketBase::start(program).await?),
        None => {
            report.note("PocketBase was not there to compare with (NOKUBE_POCKETBASE).");
            None
        }
    };
    let rows = [
        ("list 20 of 1,009", "list", [1, 16]),
        ("20 of one status", "filter", [1, 16]),
        ("search, 20 of 100", "search", [1, 16]),
        ("get one", "get", [1, 16]),
        ("create one", "create", [1, 16]),
        ("login", "login", [1, 4]),
    ];
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let title = "Ten thousand events, a thousand users";
    let columns = ["÷ pocketbase"];
    for (what, name, connections) in rows {
        let mut contestants = vec![ours(vec![calls.named(name).to_owned()])?];
        if let Some(peer) = &peer {
            contestants.push(peer.contestant(peer.calls.named(name)));
        }
        for connections in connections {
            let measured = in_turn(&contestants, connections, options.rounds, millis).await?;
            let table = report.loads_again(title, &columns);
            for (contestant, figures) in contestants.iter().zip(&measured) {
                let what = format!("{what}, {}", contestant.name);
                let is_ours = contestant.name == OURS;
                let peer = measured.get(1).filter(|_| is_ours);
                let ratio = peer.map(|peer| figures.ratio(peer, Round::rate));
                table.add(&what, connections, figures, &[ratio]);
            }
        }
    }
    // Ours each work once: that is what they are for.
    let round = ask(&ours(refreshes)?, 1, Until::EachOnce).await?;
    let ours = Measured {
        rounds: vec![round],
    };
    let theirs = match &peer {
        Some(peer) => in_turn(&[peer.contestant(&peer.refresh)], 1, options.rounds, millis).await?,
        None => Vec::new(),
    };
    let table = report.loads_again(title, &columns);
    let peer = theirs.first();
    let ratio = peer.map(|peer| ours.median(Round::rate) / peer.median(Round::rate));
    table.add("refresh, rotating, nokube", 1, &ours, &[ratio]);
    if let Some(theirs) = peer {
        table.add("refresh, stateless, pocketbase", 1, theirs, &[None]);
    }
    Ok(())
}

impl Calls {
    pub(crate) fn named(&self, name: &str) -> &str {
        match name {
            "list" => &self.list,
            "filter" => &self.filter,
            "search" => &self.search,
            "get" => &self.get,
            "create" => &self.create,
            _ => &self.login,
        }
    }
}

/// An event of the benchmark; one in ten is found by its season.
pub(crate) fn title(number: i64) -> String {
    let word = if number % 10 == 0 { "Spring" } else { "Weekly" };
    format!("{word} campaign {number}")
}

/// Fills the databases, and says what is asked.
async fn prepare(platform: &Platform) -> anyhow::Result<(Calls, Vec<String>)> {
    let user = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    // The first call makes the tables.
    let event = event(0, "published");
    let made = user.post("/events", &event).await.expect(201);
    let databases = platform.data_dir().join("data/db");
    fill_events(&databases.join("platform.db"))?;
    let refresh_tokens = fill_users(&databases.join("auth.db"))?;
    let host = platform.url().trim_start_matches("http://");
    let token = user.token();
    let get = |path: &str| request("GET", host, &format!("/api/v1{path}"), token, None);
    let post = |path: &str, token: Option<&str>, body: &Value| {
        request("POST", host, &format!("/api/v1{path}"), token, Some(body))
    };
    let login = json!({ "username": "bench", "password": "correct horse bench" });
    let calls = Calls {
        list: get("/events?limit=20"),
        filter: get("/events?limit=20&status=published"),
        search: get("/events?limit=20&q=spring"),
        get: get(&format!(
            "/events/{}",
            made["id"].as_str().context("an id")?
        )),
        create: post("/events", token, &event),
        login: post("/auth/login", None, &login),
    };
    let refreshes = refresh_tokens
        .iter()
        .map(|token| post("/auth/refresh", None, &json!({ "refresh_token": token })))
        .collect();
    Ok((calls, refreshes))
}

/// What is sent to create one.
pub(crate) fn event(number: i64, status: &str) -> Value {
    json!({
        "title": title(number), "description": "What we tell whom, and when",
        "start_date": "2027-01-01T09:00:00Z", "end_date": "2027-01-01T10:00:00Z", "status": status
    })
}

/// 2027-01-01T00:00:00Z and an hour for each event.
pub(crate) fn start_ms(number: i64) -> i64 {
    1_798_761_600_000 + number * 3_600_000
}

/// Owner and number of every event but the one that is there.
pub(crate) fn owned() -> impl Iterator<Item = (i64, i64)> {
    let own = (1..OWN).map(|number| (0, number));
    own.chain((0..OTHERS).map(|number| (1 + number % USERS, OWN + number)))
}

pub(crate) fn status(number: i64) -> &'static str {
    ["draft", "published", "archived"][usize::try_from(number % 3).unwrap_or(0)]
}

fn fill_events(file: &std::path::Path) -> anyhow::Result<()> {
    let mut database = Connection::open(file)?;
    let transaction = database.transaction()?;
    let owner: i64 = transaction.query_row("SELECT owner_id FROM events", [], |row| row.get(0))?;
    for (user, number) in owned() {
        let title = title(number);
        let start = start_ms(number);
        let row: i64 = transaction.query_row(
            "INSERT INTO events (owner_id, id, title, title_key, description, is_whole_days, \
             start_ms, end_ms, until_ms, status, sequence, created_at_ms, updated_at_ms) \
             VALUES (?1, ?2, ?3, ?4, 'What we tell whom, and when', 0, ?5, ?6, ?6, ?7, 0, 0, 0) \
             RETURNING number",
            params![
                owner + user,
                format!("01985000-0000-7000-8000-{number:012}"),
                title,
                title.to_lowercase(),
                start,
                start + 3_600_000,
                status(number)
            ],
            |row| row.get(0),
        )?;
        let words = format!("{} what we tell whom and when", title.to_lowercase());
        for word in words.split(' ') {
            transaction.execute(
                "INSERT INTO event_words (owner_id, word, event_number) VALUES (?1, ?2, ?3)",
                params![owner + user, word, row],
            )?;
        }
    }
    transaction.execute(
        "INSERT OR REPLACE INTO event_owners SELECT owner_id, count(*) FROM events GROUP BY owner_id",
        [],
    )?;
    Ok(transaction.commit()?)
}

/// Users like the one that is there, and refresh tokens of that one, each of a session of its own.
fn fill_users(file: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let mut database = Connection::open(file)?;
    let transaction = database.transaction()?;
    for number in 1..=USERS {
        transaction.execute(
            "INSERT INTO users (username, password_hash, role, created_at_ms, updated_at_ms) \
             SELECT 'user' || ?1, password_hash, 'user', created_at_ms, updated_at_ms \
             FROM users WHERE username = 'bench'",
            [number],
        )?;
    }
    let mut tokens = Vec::new();
    for number in 0..SESSIONS {
        let token = format!("benchmark-refresh-token-{number}");
        let session = format!("01985000-0000-7000-8000-{number:012}");
        transaction.execute(
            "INSERT INTO sessions (id, user_id, created_at_ms, last_used_at_ms, expires_at_ms) \
             SELECT ?1, user_id, created_at_ms, last_used_at_ms, expires_at_ms FROM sessions LIMIT 1",
            [&session],
        )?;
        transaction.execute(
            "INSERT INTO refresh_tokens (token_hash, session_id, created_at_ms) \
             SELECT ?1, id, created_at_ms FROM sessions WHERE id = ?2",
            params![Sha256::digest(&token).as_slice(), session],
        )?;
        tokens.push(token);
    }
    transaction.commit()?;
    Ok(tokens)
}
