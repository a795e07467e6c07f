//! What others notice while one application misbehaves: six requests of it loop and six sleep, and another
//! application and the platform's API are asked meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use nokube_tests::api::Api;
use nokube_tests::guests::probe;
use nokube_tests::platform::{Platform, repository_root};
use nokube_tests::repository::Repository;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::Options;
use crate::generator::Until;
use crate::load::{Contestant, Measured, Round, ask};
use crate::process::cpu_of;
use crate::server;
use crate::table::{Report, Section};

/// Requests of each kind at once.
const EACH: usize = 6;
/// Past the 30 s after which a request is ended: each of the first ones has been, and others have begun.
const WHOLE_MS: u64 = 40_000;
/// Loops get all cores but one, what others are asked for meanwhile included. Less than this of a core would mean that they
/// did not go on.
const LOOPING: f64 = 0.3;

/// What 99 of 100 requests of others may take, on two cores of which one generator takes a part.
const AIM_MS: f64 = 50.0;

/// Measures it. Returns whose answers took longer than they may.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<Vec<String>> {
    // Compiled first: meanwhile a kept connection would be closed.
    let probe = probe();
    let platform = Platform::start();
    let api = platform
        .api()
        .register("bench", Some(platform.setup_code()))
        .await;
    let project = api.create_project("beside").await;
    let manifest = include_bytes!("../../tests/fixtures/probe-spin.toml");
    let bad = Repository::of_files("bad", &[("spin.toml", manifest), ("probe.wasm", &probe)]);
    let good = Repository::of_folder("good", &repository_root().join("examples/static-site"));
    let bad = deploy(&api, project, "bad", &bad).await?;
    let good = deploy(&api, project, "good", &good).await?;
    let contestants = contestants(&platform, &api, &good)?;
    let tenants = *platform
        .children("tenants")
        .first()
        .context("there is a tenants' process")?;

    let title = "While an application loops six times and sleeps six times";
    let table = report.loads(title, &[]);
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let some = millis.saturating_mul(options.rounds.max(1) as u64);
    let before = together(&contestants, 1, some).await?;
    add(table, &contestants, "before", 1, before);
    // From the first moment on, when all twelve still have what every request may compute before it makes way.
    let misbehaving = Misbehaving::begin(&api, &bad);
    let (began, computed) = (Instant::now(), cpu_of(tenants)?);
    let whole = together(&contestants, 1, WHOLE_MS).await?;
    let share = (cpu_of(tenants)? - computed) / began.elapsed().as_secs_f64();
    let slow = slow_of(&contestants, &whole);
    add(table, &contestants, "meanwhile, from the start", 1, whole);
    let later = together(&contestants, 4, some).await?;
    let slow = [slow, slow_of(&contestants, &later)].concat();
    add(table, &contestants, "meanwhile, later", 4, later);
    ensure!(share > LOOPING, "only {share} of a core was computed");
    misbehaving.end(report, share)?;
    Ok(slow)
}

fn slow_of(contestants: &[Contestant], rounds: &[Round]) -> Vec<String> {
    let each = contestants.iter().zip(rounds);
    each.map(|(contestant, round)| (&contestant.name, round.outcome.p99_ms))
        .filter(|(_, p99_ms)| *p99_ms > AIM_MS)
        .map(|(name, p99_ms)| format!("99 of 100 of {name} within {AIM_MS} ms, not {p99_ms:.1} ms"))
        .collect()
}

fn contestants(platform: &Platform, api: &Api, good: &str) -> anyhow::Result<Vec<Contestant>> {
    let address = platform.url().trim_start_matches("http://").to_owned();
    let host = good.trim_start_matches("http://").trim_end_matches('/');
    let token = api.token().context("the benchmark is signed in")?;
    let list = format!(
        "GET /api/v1/projects?limit=20 HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    let asked = [
        ("another application", server::get(host, "/")),
        ("the platform's API", list),
    ];
    let contestant = |(name, request): (&str, String)| -> anyhow::Result<Contestant> {
        Ok(Contestant {
            name: name.to_owned(),
            address: address.parse()?,
            pids: Vec::new(),
            requests: vec![request],
        })
    };
    asked.into_iter().map(contestant).collect()
}

/// Asks all contestants at once. An answer that is not a success fails the run: none of what is asked here is refused.
async fn together(
    contestants: &[Contestant],
    connections: usize,
    millis: u64,
) -> anyhow::Result<Vec<Round>> {
    let asking: Vec<JoinHandle<anyhow::Result<Round>>> = contestants
        .iter()
        .cloned()
        .map(|contestant| {
            tokio::spawn(async move {
                ask(&contestant, connections, Until::Millis(millis))
                    .await
                    .with_context(|| contestant.name.clone())
            })
        })
        .collect();
    let mut rounds = Vec::new();
    for asking in asking {
        rounds.push(asking.await??);
    }
    Ok(rounds)
}

fn add(
    table: &mut Section,
    contestants: &[Contestant],
    when: &str,
    connections: usize,
    rounds: Vec<Round>,
) {
    for (contestant, round) in contestants.iter().zip(rounds) {
        let what = format!("{}, {when}", contestant.name);
        let figures = Measured {
            rounds: vec![round],
        };
        table.add(&what, connections, &figures, &[]);
    }
}

async fn deploy(
    api: &Api,
    project: i64,
    service: &str,
    repository: &Repository,
) -> anyhow::Result<String> {
    let build = api.build(project, service, &repository.file_url()).await;
    let request =
        json!({ "project_id": project, "service_name": service, "build_id": build["build_id"] });
    let deployed = api.deploy(&request).await;
    let url = deployed["access_url"].as_str().context("an address")?;
    Ok(url.to_owned())
}

/// How many requests of each kind were answered with which status.
type Seen = Arc<Mutex<BTreeMap<(&'static str, u16), usize>>>;

/// The requests that loop and sleep. Each ends at a limit, and the next one begins.
struct Misbehaving {
    requests: Vec<JoinHandle<()>>,
    seen: Seen,
}

impl Misbehaving {
    fn begin(api: &Api, url: &str) -> Self {
        let seen = Seen::default();
        let requests = ["/loop", "/sleep"]
            .into_iter()
            .flat_map(|path| std::iter::repeat_n(path, EACH))
            .map(|path| {
                let (api, url, seen) = (api.clone(), url.to_owned(), Arc::clone(&seen));
                tokio::spawn(async move {
                    while let Ok(answer) = api.visit(&url, path).await {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        *seen.entry((path, answer.status.as_u16())).or_default() += 1;
                    }
                })
            })
            .collect();
        Self { requests, seen }
    }

    /// Ends them, and tells what became of them: each was ended by a limit, 504, and none was refused.
    fn end(self, report: &mut Report, share: f64) -> anyhow::Result<()> {
        for request in &self.requests {
            ensure!(!request.is_finished(), "a misbehaving request broke off");
            request.abort();
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let section = report.figures("What misbehaved meanwhile");
        section.say(
            "the tenants' process from the start",
            &[("cores that it computed on", share, "")],
        );
        for path in ["/loop", "/sleep"] {
            let of = |is_wanted: fn(u16) -> bool| -> usize {
                seen.iter()
                    .filter(|((of, status), _)| *of == path && is_wanted(*status))
                    .map(|(_, count)| count)
                    .sum()
            };
            let (ended, other) = (of(|status| status == 504), of(|status| status != 504));
            ensure!(
                ended >= EACH && other == 0,
                "{path}: answers by status: {seen:?}"
            );
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            let figures = [
                ("ended by a limit (504)", ended as f64, "requests"),
                ("refused", other as f64, "requests"),
            ];
            section.say(&format!("six at once of `{path}`"), &figures);
        }
        Ok(())
    }
}
