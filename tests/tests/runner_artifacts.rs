//! What comes out of a build: sites, prebuilt applications, uploaded sources, simulated builds, and what
//! is refused with a reason.

use std::path::{Path, PathBuf};

use nokube_api::runner::{BuildOutcome, JobSource};
use nokube_runner::PushRegistry;
use nokube_tests::needs;
use nokube_tests::platform::{nokube, repository_root};
use nokube_tests::repository::Repository;
use nokube_tests::runner::Bench;

const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-init");

fn fileserver() -> PathBuf {
    repository_root().join("target/guest/wasm32-wasip2/guest/nokube_fileserver.wasm")
}

async fn bench() -> Bench {
    Bench::start(HELPER, |options| {
        options.fileserver_wasm = Some(fileserver())
    })
    .await
}

/// The names in an uploaded layout.
fn names(artifact: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(artifact);
    let entries = archive.entries().expect("an archive");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .path()
                .expect("a path")
                .display()
                .to_string()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_becomes_the_same_artifact_each_time() {
    let bench = bench().await;
    let site = Repository::of_files(
        "site",
        &[
            ("index.html", b"<h1>hello</h1>"),
            ("css/site.css", b"h1 { color: red }"),
            (".env", b"SECRET=1"),
        ],
    );
    let first = bench.build("first", &site.file_url()).await;
    let second = bench.build("second", &site.file_url()).await;
    assert_eq!(first.digest(), second.digest());
    assert_eq!(first.artifact, second.artifact);
    let artifact = first.artifact.clone().expect("an artifact");
    let manifest = format!(
        "blobs/sha256/{}",
        first.digest().trim_start_matches("sha256:")
    );
    assert!(
        names(&artifact).contains(&manifest),
        "{:?}",
        names(&artifact)
    );
    assert!(!String::from_utf8_lossy(&artifact).contains("SECRET"));
    assert!(
        first.text().contains("found a static site here"),
        "{}",
        first.text()
    );
    let built = Repository::of_files(
        "built",
        &[("README.md", b"x"), ("public/index.html", b"hi")],
    );
    let built = bench.build("built", &built.file_url()).await;
    assert!(
        built.text().contains("found a static site in public"),
        "{}",
        built.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_a_prebuilt_component_in_a_subdirectory_is_packed() {
    let bench = bench().await;
    let wasm = std::fs::read(fileserver()).expect("the file server is built");
    let manifest = b"spin_manifest_version = 2\n[application]\nname = \"app\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"a\"\n\
        [component.a]\nsource = \"../lib/a.wasm\"\nfiles = [{ source = \"assets\", destination = \"/\" }]\n";
    let repository = Repository::of_files(
        "app",
        &[
            ("services/web/spin.toml", manifest),
            ("services/lib/a.wasm", &wasm),
            ("services/web/assets/a.txt", b"x"),
        ],
    );
    let mut job = bench.platform.job("app", &repository.file_url());
    job.subdirectory = Some("services/web".to_owned());
    let build = bench.build_job(job).await;
    assert!(build.artifact.is_some(), "{}", build.text());
    assert!(build.digest().starts_with("sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_source_is_built() {
    let bench = bench().await;
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "index.html", &b"hello"[..])
        .expect("an entry");
    let bytes = archive
        .into_inner()
        .expect("a tar")
        .finish()
        .expect("a gzip");
    let mut job = bench.platform.job("upload", "");
    job.source = bench.platform.archive("source-1", bytes.clone());
    let build = bench.build_job(job).await;
    assert!(build.digest().starts_with("sha256:"));
    assert_eq!(build.result.and_then(|result| result.commit), None);

    let mut job = bench.platform.job("altered", "");
    job.source = match bench.platform.archive("source-2", bytes) {
        JobSource::Archive { url, .. } => JobSource::Archive {
            url,
            digest: format!("sha256:{}", "0".repeat(64)),
        },
        other => other,
    };
    let build = bench.build_job(job).await;
    assert!(build.failure().contains("digest"), "{}", build.failure());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_refused_with_the_reason() {
    let bench = bench().await;
    for (id, files, reason) in [
        (
            "docker",
            vec![("Dockerfile", &b"FROM scratch"[..])],
            "Dockerfile",
        ),
        (
            "nothing",
            vec![("README.md", &b"x"[..])],
            "looked for spin.toml",
        ),
        (
            "manifest",
            vec![(
                "spin.toml",
                &b"spin_manifest_version = 2\nsurprise = 1\n"[..],
            )],
            "faults",
        ),
        (
            "package",
            vec![("package.json", &b"{"[..])],
            "package.json is not JSON",
        ),
    ] {
        let repository = Repository::of_files("app", &files);
        let build = bench.build(id, &repository.file_url()).await;
        assert!(build.failure().contains(reason), "{}", build.failure());
        let outcome = build.result.as_ref().expect("a result").outcome.clone();
        assert!(
            matches!(
                outcome,
                BuildOutcome::Failed {
                    retryable: false,
                    ..
                }
            ),
            "{outcome:?}"
        );
        if id == "manifest" {
            assert!(
                build.text().contains("line 2: surprise"),
                "{}",
                build.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_build_does_as_its_branch_says() {
    let bench = bench().await;
    let mut digests = Vec::new();
    for (id, branch) in [("good", "main"), ("again", "main"), ("bad", "fail-now")] {
        let mut job = bench
            .platform
            .job(id, "https://git.example.org/nowhere.git");
        job.builder = "simulated".to_owned();
        job.source = JobSource::Git {
            url: "https://git.example.org/nowhere.git".to_owned(),
            branch: Some(branch.to_owned()),
            commit: None,
        };
        let build = bench.build_job(job).await;
        assert!(build.text().contains("simulated"), "{}", build.text());
        if id == "bad" {
            assert!(
                build.failure().contains("simulated build failed"),
                "{}",
                build.failure()
            );
        } else {
            digests.push(build.digest().to_owned());
        }
    }
    assert_eq!(digests[0], digests[1]);
    let mut job = bench
        .platform
        .job("hanging", "https://git.example.org/nowhere.git");
    job.builder = "simulated".to_owned();
    job.service_name = "hang".to_owned();
    job.timeout_seconds = 2;
    let build = bench.build_job(job).await;
    assert!(
        build.failure().contains("limit of 2 seconds"),
        "{}",
        build.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_pushed_when_a_registry_is_given() {
    let Some(program) = needs::program("docker-registry", None) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::start(&program, folder.path()).await;
    let url = registry.url.clone();
    let bench = Bench::start(HELPER, |options| {
        options.fileserver_wasm = Some(fileserver());
        options.push_registry = Some(PushRegistry {
            url: url.clone(),
            credentials: None,
        });
    })
    .await;
    let site = Repository::of_files("site", &[("index.html", b"<h1>pushed</h1>")]);
    let build = bench.build("pushed", &site.file_url()).await;
    let digest = build.digest();
    let manifest = reqwest::Client::new()
        .get(format!("{url}/v2/nokube/ada-shop-web/manifests/{digest}"))
        .header("accept", "application/vnd.oci.image.manifest.v1+json")
        .send()
        .await
        .expect("the registry answers");
    assert_eq!(manifest.status(), 200);
    let by_tag = reqwest::get(format!("{url}/v2/nokube/ada-shop-web/tags/list"))
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a text");
    assert!(by_tag.contains("latest"), "{by_tag}");
}

/// How a cluster gets the platform: every component in one artifact, the same whenever the same was built.
#[tokio::test(flavor = "multi_thread")]
async fn the_platform_itself_is_packed_and_pushed_by_command() {
    let Some(program) = needs::program("docker-registry", None) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::start(&program, folder.path()).await;
    let host = registry.url.trim_start_matches("http://");
    let pack = || {
        let output = std::process::Command::new(nokube())
            .args(["--json", "pack", "--plain-http", "--manifest"])
            .arg(repository_root().join("spin.toml"))
            .args(["--push", &format!("{host}/nokube/platform:1")])
            .output()
            .expect("nokube");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        answer["digest"].as_str().expect("a digest").to_owned()
    };
    let digest = pack();
    assert_eq!(pack(), digest);
    let manifest: serde_json::Value = reqwest::Client::new()
        .get(format!("{}/v2/nokube/platform/manifests/1", registry.url))
        .header("accept", "application/vnd.oci.image.manifest.v1+json")
        .send()
        .await
        .expect("the registry answers")
        .json()
        .await
        .expect("a manifest");
    let layers = manifest["layers"].as_array().expect("layers");
    let components = layers
        .iter()
        .filter(|layer| layer["mediaType"] == "application/vnd.wasm.content.layer.v1+wasm");
    assert_eq!(components.count(), 6, "{manifest}");
}

/// Debian's `docker-registry` on a free port.
struct Registry {
    child: std::process::Child,
    url: String,
}

impl Registry {
    async fn start(program: &Path, folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.join("data").display()
        );
        std::fs::write(&config, text).expect("a configuration");
        let child = std::process::Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the registry starts");
        let registry = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        let ready = format!("{}/v2/", registry.url);
        nokube_tests::wait::until(
            "the registry",
            std::time::Duration::from_secs(20),
            || async {
                reqwest::get(&ready)
                    .await
                    .ok()
                    .filter(|answer| answer.status().is_success())
                    .map(|_| ())
            },
        )
        .await;
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_is_built_within_two_seconds() {
    let bench = bench().await;
    let site = Repository::of_files("site", &[("index.html", b"<h1>hello</h1>")]);
    let began = std::time::Instant::now();
    let build = bench.build("quick", &site.file_url()).await;
    let took = began.elapsed();
    let times: Vec<String> = build
        .log
        .iter()
        .map(|line| format!("{} {}", line.time, line.text))
        .collect();
    println!("{took:?}\n{}", times.join("\n"));
    assert!(
        took < std::time::Duration::from_secs(2),
        "{took:?}\n{}",
        times.join("\n")
    );
}
