//! Signing in: whether an unknown account can be told from a wrong password by the time an answer takes,
//! and what a crowd that signs in costs everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nokube_tests::api::Api;
use nokube_tests::platform::Platform;
use reqwest::Method;
use serde_json::json;

use crate::Options;
use crate::load::{Contestant, in_turn};
use crate::server;
use crate::table::Report;

/// Of each kind and round.
const SAMPLES: usize = 60;
/// Where both take the same time, one run in a thousand is below by chance; a decoy that costs something else is far
/// below in each.
const LEAST_P: f64 = 0.001;
/// Clients that sign in without a pause.
const CROWD: usize = 16;
/// More than anything here sends: the limits are tested elsewhere.
const NO_LIMIT: [&str; 6] = [
    "--variable",
    "login_limit_per_account=1000000",
    "--variable",
    "login_limit_per_address=1000000",
    "--variable",
    "login_limit_everywhere=1000000",
];

/// Measures it.
pub(crate) async fn measure(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    unknown_and_wrong(report, options).await?;
    beside_a_crowd(report, options).await
}

/// Alternates the two, each first as often as second: what disturbs the machine disturbs both.
async fn unknown_and_wrong(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    // From an address that the account is not known at, as a stranger's.
    let proxies = ["--trusted-proxies", "127.0.0.0/8"];
    let platform = Platform::start_with(&[&NO_LIMIT[..], &proxies[..]].concat());
    let api = platform.api();
    api.register("alice", None).await;
    let (mut unknown, mut wrong) = (Vec::new(), Vec::new());
    let samples = SAMPLES * options.rounds.max(1);
    // The first ones compile nothing but still warm up.
    for number in 0..samples + 5 {
        let nobody = format!("nobody{number}");
        let (first, second) = match number % 2 {
            0 => ("alice", nobody.as_str()),
            _ => (nobody.as_str(), "alice"),
        };
        for name in [first, second] {
            let took = timed_login(&api, name).await?;
            if number >= 5 {
                match name {
                    "alice" => wrong.push(took),
                    _ => unknown.push(took),
                }
            }
        }
    }
    let p = mann_whitney(&unknown, &wrong);
    report
        .figures("Signing in with an unknown name and with a wrong password, in turn")
        .say(
            &format!("{samples} of each"),
            &[
                ("unknown, median", median(&unknown), "ms"),
                ("wrong, median", median(&wrong), "ms"),
                ("two-sided p of the Mann-Whitney test", p, ""),
            ],
        );
    anyhow::ensure!(
        p > LEAST_P,
        "unknown names and wrong passwords take different times: p = {p:e}"
    );
    Ok(())
}

async fn timed_login(api: &Api, name: &str) -> anyhow::Result<f64> {
    let body = json!({ "username": name, "password": "not the password" });
    let request = api.request(Method::POST, "/auth/login").json(&body);
    let request = request.header("x-forwarded-for", "203.0.113.7");
    let began = Instant::now();
    let answer = api.try_send(request).await?;
    let took = began.elapsed().as_secs_f64() * 1000.0;
    anyhow::ensure!(answer.status == 401, "{}", answer.text);
    Ok(took)
}

/// `GET /auth/health` alone, and beside the crowd with one hash at once, two, and as many as come.
async fn beside_a_crowd(report: &mut Report, options: &Options) -> anyhow::Result<()> {
    let millis = u64::try_from(options.duration().as_millis()).unwrap_or(u64::MAX);
    let mut rows = Vec::new();
    for at_once in [1, 2, 1_000] {
        let variable = format!("hashes_at_once={at_once}");
        let platform = Platform::start_with(&[&NO_LIMIT[..], &["--variable", &variable]].concat());
        let api = platform.api();
        api.register("alice", None).await;
        let address = platform.url().trim_start_matches("http://").to_owned();
        let contestant = Contestant {
            name: String::new(),
            address: address.parse()?,
            pids: vec![platform.pid()],
            requests: vec![server::get(&address, "/api/v1/auth/health")],
        };
        let contestants = std::slice::from_ref(&contestant);
        if at_once == 1 {
            let alone = in_turn(contestants, 1, options.rounds, millis).await?;
            rows.push(("alone".to_owned(), alone, None));
        }
        let crowd = Crowd::begin(&api);
        let beside = in_turn(contestants, 1, options.rounds, millis).await?;
        let rate = crowd.end().await;
        let bound = match at_once {
            1_000 => "no bound".to_owned(),
            _ => format!("hashes at once: {at_once}"),
        };
        rows.push((bound, beside, Some(rate)));
    }
    let table = report.loads(
        "`GET /auth/health` beside 16 clients that sign in without a pause",
        &[],
    );
    for (name, measured, _) in &rows {
        for figures in measured {
            table.add(name, 1, figures, &[]);
        }
    }
    let section = report.figures("Those 16 clients meanwhile");
    for (name, _, rate) in &rows {
        if let Some(rate) = rate {
            section.say(name, &[("signed in", *rate, "/s")]);
        }
    }
    Ok(())
}

/// Clients that sign in again and again.
struct Crowd {
    goes_on: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
    began: Instant,
}

impl Crowd {
    fn begin(api: &Api) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let done = Arc::new(AtomicUsize::new(0));
        let clients = (0..CROWD)
            .map(|_| {
                let (api, goes_on, done) = (api.clone(), Arc::clone(&goes_on), Arc::clone(&done));
                tokio::spawn(async move {
                    let body = json!({ "username": "alice", "password": "correct horse alice" });
                    while goes_on.load(Ordering::Relaxed) {
                        if api.post("/auth/login", &body).await.status == 200 {
                            done.fetch_add(1, Ordering::Relaxed);
                        } else {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                })
            })
            .collect();
        Self {
            goes_on,
            done,
            clients,
            began: Instant::now(),
        }
    }

    /// Sign-ins per second.
    async fn end(self) -> f64 {
        self.goes_on.store(false, Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f64();
        let done = self.done.load(Ordering::Relaxed);
        for client in self.clients {
            // One that failed has said so and served nothing.
            let _ = client.await;
        }
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let done = done as f64;
        done / seconds
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The two-sided p-value of the Mann-Whitney U test by its normal approximation, with the correction for
/// ties (Mann and Whitney, 1947; Lehmann, Nonparametrics, 1.4): how likely samples are to differ this
/// much when nothing sets the two apart.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn mann_whitney(one: &[f64], other: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = (one.iter().map(|value| (*value, true)))
        .chain(other.iter().map(|value| (*value, false)))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (n1, n2, n) = (one.len() as f64, other.len() as f64, all.len() as f64);
    let (mut rank_sum, mut ties) = (0.0, 0.0);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        // Groups lie one after another in `all`; their first rank is one above what lies before.
        let before = all.partition_point(|entry| entry.0 < group[0].0) as f64;
        let size = group.len() as f64;
        let rank = before + (size + 1.0) / 2.0;
        rank_sum += rank * group.iter().filter(|entry| entry.1).count() as f64;
        ties += size.powi(3) - size;
    }
    let u = rank_sum - n1 * (n1 + 1.0) / 2.0;
    let variance = n1 * n2 / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n1 * n2 / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    complementary_error(z / std::f64::consts::SQRT_2)
}

/// erfc for x ≥ 0, to seven digits (Abramowitz and Stegun, 7.1.26).
fn complementary_error(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [
        0.254_829_592,
        -0.284_496_736,
        1.421_413_741,
        -1.453_152_027,
        1.061_405_429,
    ];
    let polynomial = series.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    polynomial * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p_value_is_small_for_what_differs_and_large_for_what_does_not() {
        let even: Vec<f64> = (0..100).map(|n| f64::from(n * 2)).collect();
        let odd: Vec<f64> = (0..100).map(|n| f64::from(n * 2 + 1)).collect();
        assert!(mann_whitney(&even, &odd) > 0.8);
        let later: Vec<f64> = even.iter().map(|value| value + 50.0).collect();
        assert!(mann_whitney(&even, &later) < 1e-4);
        assert!((mann_whitney(&[1.0; 9], &[1.0; 9]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_small_case_agrees_with_the_formula() {
        // Ranks 1 to 5 against 6 to 10: U = 0, mean 12.5, variance 275/12; z with continuity 2.5067.
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((mann_whitney(&low, &high) - 0.012_186).abs() < 1e-5);
        assert!((complementary_error(1.0) - 0.157_299_2).abs() < 1e-6);
    }
}
