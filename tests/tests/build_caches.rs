//! What a build leaves in its caches is there for the next one of its project, and for nobody else's: neither packages,
//! nor settings that a package manager obeys, nor what a compiler made.

use nokube_tests::platform::repository_root;
use nokube_tests::repository::Repository;
use nokube_tests::runner::Bench;
use nokube_tests::runner_platform::SeenBuild;

const HELPER: &str = env!("CARGO_BIN_EXE_sandbox-init");

/// The project of `RunnerPlatform::job`, and a stranger's.
const OWN: i64 = 7;
const STRANGERS: i64 = 8;

/// Leaves a file of a name that no other has wherever builds keep something, and settings by which cargo and npm would run
/// its program or fetch from its registry. A crate stands where cargo would look for one that it fetched.
const POISON: &str = r#"
set -e
for folder in $CARGO_HOME/bin $CARGO_HOME/registry/src/index-1/serde-1.0.0/src \
    $npm_config_cache/_cacache/content-v2 $XDG_CACHE_HOME/tool target/release/deps $TMPDIR; do
  mkdir -p $folder; echo poison > $folder/left-by-ada
done
printf '[build]\nrustc-wrapper = "/cache/cargo/bin/left-by-ada"\n' > $CARGO_HOME/config.toml
echo registry=http://ada.example > $CARGO_HOME/../npm/npmrc
# The way to the neighbours, by every path that might lead there.
for place in /cache/.. /cache/../.. /cache/../8 $CARGO_HOME/../../8; do
  mkdir -p $place/shared/cargo 2>/dev/null && echo poison > $place/shared/cargo/left-by-ada || true
done
ln -sfn ../../8/shared/cargo /cache/neighbour
echo poison > /cache/neighbour/left-by-ada 2>/dev/null || true
"#;

/// Says how many of these files there are, and what stands where cargo's settings are.
const LOOK: &str = r#"
found=$(find /cache /src /tmp -name left-by-ada 2>/dev/null | wc -l)
echo "found $found of them."
cat $CARGO_HOME/config.toml 2>/dev/null | sed 's/^/setting: /' || true
find $CARGO_HOME $npm_config_cache $XDG_CACHE_HOME -type f | sed 's/^/file: /'
"#;

/// An application with a folder that cargo would compile into, and this build command.
fn app(command: &str) -> Repository {
    let path = "target/guest/wasm32-wasip2/guest/nokube_fileserver.wasm";
    let component = std::fs::read(repository_root().join(path)).expect("the guests are built");
    let files = [
        ("Cargo.toml", &b"[package]\nname = \"app\"\n"[..]),
        ("a.wasm", component.as_slice()),
    ];
    Repository::of_command(command, "", &files)
}

async fn build(bench: &Bench, id: &str, project: i64, repository: &Repository) -> SeenBuild {
    let mut job = bench.platform.job(id, &repository.file_url());
    job.project_id = project;
    let build = bench.build_job(job).await;
    assert!(build.digest().starts_with("sha256:"), "{}", build.text());
    build
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_leaves_in_the_caches_does_not_reach_another_tenants_build() {
    let bench = Bench::start(HELPER, |_| ()).await;
    let (poisoning, looking) = (app(POISON), app(LOOK));
    build(&bench, "poisoning", OWN, &poisoning).await;

    // The same service's name, the same paths, the same program: only the project is another.
    let strangers = build(&bench, "strangers", STRANGERS, &looking).await;
    let log = strangers.text();
    assert!(log.contains("found 0 of them."), "{log}");
    for sign in ["\nsetting: ", "\nfile: ", "ada.example"] {
        assert!(!log.contains(sign), "{sign:?} in {log}");
    }
    // It would have been seen: the project's own next build has it, all but what was in the temporary folder.
    let own = build(&bench, "own", OWN, &looking).await;
    let log = own.text();
    assert!(log.contains("found 5 of them."), "{log}");
    assert!(log.contains("setting: rustc-wrapper"), "{log}");

    // And not for having come first.
    build(&bench, "poisoning-again", OWN, &poisoning).await;
    let again = build(&bench, "strangers-again", STRANGERS, &looking).await;
    assert!(
        again.text().contains("found 0 of them."),
        "{}",
        again.text()
    );
}
