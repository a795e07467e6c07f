//! What users do while the platform dies under them, and what it told them that it had done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nokube_tests::api::{Answer, Api};
use nokube_tests::guests::{self, example};
use nokube_tests::platform::Platform;
use nokube_tests::repository::Repository;
use reqwest::Method;
use serde_json::{Value, json};

use crate::chance::Chance;

/// Things done in a round, when nothing dies before.
const STEPS: u64 = 10;
/// A build is looked at this often before the round goes on without it.
const LOOKS: u32 = 40;

/// A service whose releases are numbered: release 7 serves `7`.
pub(crate) struct Site {
    pub(crate) deployment: String,
    pub(crate) url: String,
    /// The newest release that was acknowledged.
    pub(crate) acknowledged: u64,
    /// The newest release that was asked for; it may or may not have come to be.
    pub(crate) asked: u64,
}

/// A service that greets with a number, which is a secret of its deployment, and counts its visits in a key-value store.
pub(crate) struct Notes {
    pub(crate) url: String,
    build: String,
    /// The newest greeting that was acknowledged.
    pub(crate) acknowledged: u64,
    /// The newest that was asked for.
    pub(crate) asked: u64,
    /// Visits that were acknowledged.
    pub(crate) visits: u64,
}

/// A service that is stopped, started, and rolled back to its first revision, which serves `1`, and its second, which
/// serves `2`.
pub(crate) struct Turned {
    pub(crate) deployment: String,
    pub(crate) url: String,
    /// Whether it was last told to stop; unknown when the platform died before it answered.
    pub(crate) is_stopped: Option<bool>,
    /// What it was last told to serve.
    pub(crate) serves: Option<u64>,
}

/// The users' side.
pub(crate) struct Workload {
    token: String,
    project: i64,
    repository: Repository,
    /// Builds by id, with the number that they hold.
    built: BTreeMap<String, u64>,
    next: u64,
    pub(crate) site: Site,
    pub(crate) notes_app: Notes,
    pub(crate) turned: Turned,
    /// The refresh token of a session, unless it is unknown whether it was used up.
    pub(crate) session: Option<String>,
    pub(crate) projects: BTreeMap<i64, String>,
    pub(crate) builds: BTreeSet<String>,
    pub(crate) notes: BTreeMap<i64, String>,
    /// What was deleted, with what it was: its number may be another's by now.
    pub(crate) gone_projects: BTreeMap<i64, String>,
    pub(crate) gone_notes: BTreeMap<i64, String>,
    /// What was acknowledged in this round, to be looked for after it.
    pub(crate) fresh: Fresh,
}

/// What one round was told.
#[derive(Default)]
pub(crate) struct Fresh {
    pub(crate) projects: Vec<i64>,
    pub(crate) builds: Vec<String>,
    pub(crate) notes: Vec<i64>,
}

/// Nobody answers any more, or not with what was asked for: the round is over.
struct Over;

impl Workload {
    /// Signs up, and has two applications running before anything dies.
    pub(crate) async fn begin(platform: &Platform) -> Self {
        let wasm = std::fs::read(example("notes")).expect("the example was built");
        let api = platform.register_ada().await;
        let project = api.create_project("shop").await;
        let repository = Repository::of_files("site", &[("index.html", b"0")]);
        let build = api.build(project, "web", &repository.file_url()).await;
        let site =
            json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
        let site = api.deploy(&site).await;
        let notes = Repository::of_files(
            "notes",
            &[
                ("spin.toml", guests::NOTES_MANIFEST.as_bytes()),
                ("notes.wasm", &wasm),
            ],
        );
        let build = api.build(project, "notes", &notes.file_url()).await;
        let notes = api.deploy(&greeting(project, &build["build_id"], 0)).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let turned = Turned::begin(&api, project).await;
        Self {
            token: api.token().expect("signed in").to_owned(),
            project,
            repository,
            built: BTreeMap::new(),
            next: 1,
            site: Site {
                deployment: text(&site["deployment_id"]),
                url: text(&site["access_url"]),
                acknowledged: 0,
                asked: 0,
            },
            notes_app: Notes {
                url: text(&notes["access_url"]),
                build: text(&build["build_id"]),
                acknowledged: 0,
                asked: 0,
                visits: 0,
            },
            turned,
            session: None,
            projects: BTreeMap::from([(project, "shop".to_owned())]),
            builds: BTreeSet::new(),
            notes: BTreeMap::new(),
            gone_projects: BTreeMap::new(),
            gone_notes: BTreeMap::new(),
            fresh: Fresh::default(),
        }
    }

    pub(crate) fn api(&self, platform: &Platform) -> Api {
        platform.api().with_token(&self.token)
    }

    /// Works until the round is over.
    pub(crate) async fn work(&mut self, platform: &Platform, chance: &mut Chance) {
        self.fresh = Fresh::default();
        let api = self.api(platform);
        // Each kind of work at least once, or a point might never be met.
        let first = [
            self.release(&api).await,
            self.note(&api).await,
            self.project(&api).await,
        ];
        let mut is_over = first.iter().any(Result::is_err);
        for _ in 0..STEPS {
            if is_over {
                return;
            }
            is_over = match chance.below(12) {
                0 | 1 => self.release(&api).await,
                2 => self.project(&api).await,
                3 => self.greeting(&api).await,
                4 => self.session(&api).await,
                5 => self.visit(&api).await,
                6 => self.turn(&api, chance).await,
                7 => self.delete_project(&api).await,
                8 => self.delete_note(&api).await,
                _ => self.note(&api).await,
            }
            .is_err();
        }
    }

    async fn project(&mut self, api: &Api) -> Result<(), Over> {
        self.next += 1;
        let name = format!("p{}", self.next);
        let request = api
            .request(Method::POST, "/projects")
            .json(&json!({ "name": name }));
        if let Some(answer) = ask(api, request, 201).await? {
            let id = answer.json()["id"]
                .as_i64()
                .expect("a project has a number");
            self.projects.insert(id, name);
            self.fresh.projects.push(id);
        }
        Ok(())
    }

    async fn note(&mut self, api: &Api) -> Result<(), Over> {
        self.next += 1;
        let text = format!("note {}", self.next);
        let body = json!({ "text": text }).to_string();
        let answer = api
            .visit_with(&self.notes_app.url, "/notes", Method::POST, &body)
            .await;
        let answer = answer.map_err(|_| Over)?;
        if answer.status == 201 {
            let id = answer.json()["id"].as_i64().expect("a note has a number");
            self.notes.insert(id, text);
            self.fresh.notes.push(id);
            return Ok(());
        }
        // Its process was killed, and is not back yet.
        assert!(answer.status.is_server_error(), "{answer:?}");
        Err(Over)
    }

    /// Deletes the project that was made last, unless it is the one with the services.
    async fn delete_project(&mut self, api: &Api) -> Result<(), Over> {
        let last = self.projects.last_entry();
        let Some(last) = last.filter(|last| *last.key() != self.project) else {
            return Ok(());
        };
        // Whether it is there when there is no answer is not known.
        let (id, name) = last.remove_entry();
        self.fresh.projects.retain(|fresh| *fresh != id);
        let request = api.request(Method::DELETE, &format!("/projects/{id}"));
        if ask(api, request, 204).await?.is_some() {
            self.gone_projects.insert(id, name);
        }
        Ok(())
    }

    async fn delete_note(&mut self, api: &Api) -> Result<(), Over> {
        let Some((id, text)) = self.notes.pop_last() else {
            return Ok(());
        };
        self.fresh.notes.retain(|fresh| *fresh != id);
        let path = format!("/notes/{id}");
        let answer = api
            .visit_with(&self.notes_app.url, &path, Method::DELETE, "")
            .await;
        let answer = answer.map_err(|_| Over)?;
        if answer.status == 204 {
            self.gone_notes.insert(id, text);
            return Ok(());
        }
        assert!(answer.status.is_server_error(), "{answer:?}");
        Err(Over)
    }

    /// Stops, starts, or rolls back.
    async fn turn(&mut self, api: &Api, chance: &mut Chance) -> Result<(), Over> {
        let turned = &mut self.turned;
        let path = format!("/deployments/{}", turned.deployment);
        let post = |action: &str| api.request(Method::POST, &format!("{path}/{action}"));
        let (is_stopped, serves, request) = match chance.below(4) {
            0 => (true, turned.serves, post("stop")),
            1 => (false, turned.serves, post("start")),
            revision => {
                let number = revision - 1;
                let body = json!({ "revision": number });
                (false, Some(number), post("rollback").json(&body))
            }
        };
        let before = turned.serves;
        turned.is_stopped = None;
        turned.serves = before.filter(|before| Some(*before) == serves);
        if ask(api, request, 202).await?.is_some() {
            (turned.is_stopped, turned.serves) = (Some(is_stopped), serves);
        }
        Ok(())
    }

    /// Adds a visit to the count.
    async fn visit(&mut self, api: &Api) -> Result<(), Over> {
        let answer = api.visit(&self.notes_app.url, "/").await;
        let answer = answer.map_err(|_| Over)?;
        if answer.status != 200 {
            assert!(answer.status.is_server_error(), "{answer:?}");
            return Err(Over);
        }
        let visits = answer.json()["visits"].as_u64().expect("a count");
        let before = self.notes_app.visits;
        assert!(visits > before, "visit {visits} after visit {before}");
        self.notes_app.visits = visits;
        Ok(())
    }

    /// Gives the notes another secret.
    async fn greeting(&mut self, api: &Api) -> Result<(), Over> {
        self.next += 1;
        self.notes_app.asked = self.next;
        let body = greeting(
            self.project,
            &self.notes_app.build.as_str().into(),
            self.next,
        );
        let request = api.request(Method::POST, "/deploy").json(&body);
        if ask(api, request, 202).await?.is_some() {
            self.notes_app.acknowledged = self.next;
        }
        Ok(())
    }

    /// Begins a session, or goes on with it: its token works once and gives the next one.
    async fn session(&mut self, api: &Api) -> Result<(), Over> {
        let request = match self.session.take() {
            None => {
                let login = json!({ "username": "ada", "password": "correct horse ada" });
                api.request(Method::POST, "/auth/login").json(&login)
            }
            Some(token) => refresh(api, &token),
        };
        if let Some(answer) = ask(api, request, 200).await? {
            self.go_on(&answer);
        }
        Ok(())
    }

    /// From now on with the tokens of this answer.
    pub(crate) fn go_on(&mut self, answer: &Answer) {
        let session = answer.json();
        let text = |name: &str| session[name].as_str().expect("a token").to_owned();
        self.token = text("access_token");
        self.session = Some(text("refresh_token"));
    }

    /// Builds the next number, and releases what is built.
    async fn release(&mut self, api: &Api) -> Result<(), Over> {
        self.next += 1;
        let number = self.next;
        self.repository
            .write("index.html", number.to_string().as_bytes());
        let commit = self.repository.commit("next");
        let body = json!({
            "project_id": self.project, "service_name": "web", "repository_url": self.repository.file_url(),
            // A build that a crash held up is cloned when there are newer ones.
            "commit": commit,
        });
        let request = api.request(Method::POST, "/builds").json(&body);
        if let Some(answer) = ask(api, request, 202).await? {
            let answer = answer.json();
            let id = answer["build_id"]
                .as_str()
                .expect("a build has an id")
                .to_owned();
            self.builds.insert(id.clone());
            self.fresh.builds.push(id.clone());
            self.built.insert(id, number);
        }
        // The newest that has ended; those that a crash held up end later.
        for _ in 0..LOOKS {
            let Some((build, number)) = self.newest_success(api).await? else {
                tokio::time::sleep(Duration::from_millis(25)).await;
                continue;
            };
            return self.deploy(api, &build, number).await;
        }
        Ok(())
    }

    async fn newest_success(&self, api: &Api) -> Result<Option<(String, u64)>, Over> {
        let path = format!(
            "/builds?project_id={}&service_name=web&status=success&limit=1",
            self.project
        );
        let Some(answer) = ask(api, api.request(Method::GET, &path), 200).await? else {
            return Ok(None);
        };
        let id = answer.json()["data"][0]["build_id"]
            .as_str()
            .map(ToOwned::to_owned);
        Ok(id.and_then(|id| {
            let number = *self.built.get(&id)?;
            (number > self.site.asked).then_some((id, number))
        }))
    }

    async fn deploy(&mut self, api: &Api, build: &str, number: u64) -> Result<(), Over> {
        self.site.asked = number;
        let body = json!({ "project_id": self.project, "service_name": "web", "build_id": build });
        let request = api.request(Method::POST, "/deploy").json(&body);
        if ask(api, request, 202).await?.is_some() {
            self.site.acknowledged = number;
        }
        Ok(())
    }
}

impl Turned {
    async fn begin(api: &Api, project: i64) -> Self {
        let repository = Repository::of_files("turned", &[("index.html", b"1")]);
        let mut last = Value::Null;
        for number in ["1", "2"] {
            if number != "1" {
                repository.write("index.html", number.as_bytes());
                let _commit = repository.commit("next");
            }
            let build = api.build(project, "turned", &repository.file_url()).await;
            let release = json!({
                "project_id": project, "service_name": "turned", "build_id": build["build_id"]
            });
            last = api.deploy(&release).await;
        }
        let text = |name: &str| last[name].as_str().expect("a text").to_owned();
        Self {
            deployment: text("deployment_id"),
            url: text("access_url"),
            is_stopped: Some(false),
            serves: Some(2),
        }
    }
}

/// What deploys the notes with this greeting.
fn greeting(project: i64, build: &Value, number: u64) -> Value {
    json!({
        "project_id": project, "service_name": "notes", "build_id": build,
        "secrets": { "GREETING": number.to_string() },
    })
}

/// Goes on with a session.
pub(crate) fn refresh(api: &Api, token: &str) -> reqwest::RequestBuilder {
    let body = json!({ "refresh_token": token });
    api.request(Method::POST, "/auth/refresh").json(&body)
}

/// The answer with this status. `None` when the platform says that it can't now (429, 503).
///
/// # Panics
/// For any other answer: the requests are right, and a crash must not make them wrong.
async fn ask(
    api: &Api,
    request: reqwest::RequestBuilder,
    status: u16,
) -> Result<Option<Answer>, Over> {
    let answer = api.try_send(request).await.map_err(|_| Over)?;
    match answer.status.as_u16() {
        given if given == status => Ok(Some(answer)),
        429 | 503 => Ok(None),
        _ => panic!("{answer:?}"),
    }
}
