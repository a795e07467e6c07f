//! What is removed, and what stays whatever the platform says or fails to say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::{FakePlatform, FakeTarget, Running, spec};
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_sidecar::StorageOptions;
use serde_json::{Value, json};

const SOURCES: [&str; 2] = [
    "01940000-0000-7000-8000-0000000000b1",
    "01940000-0000-7000-8000-0000000000b2",
];

/// An artifact of one layer.
fn artifact(layout: &Layout, content: &str) -> Digest {
    let _storing = layout.storing().unwrap();
    let config = layout.put_bytes(b"{}").unwrap();
    let layer = layout.put_bytes(content.as_bytes()).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/json", "digest": config.to_string(), "size": 2 },
        "layers": [{ "mediaType": "x/y", "digest": layer.to_string(), "size": content.len() }],
    });
    layout
        .put_manifest(manifest.to_string().as_bytes())
        .unwrap()
}

struct World {
    platform: Arc<FakePlatform>,
    target: Arc<FakeTarget>,
    data: tempfile::TempDir,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::open(data.path().join("artifacts")).unwrap();
        let sources = data.path().join("sidecar/sources");
        std::fs::create_dir_all(&sources).unwrap();
        for build in SOURCES {
            std::fs::write(sources.join(format!("{build}.tar.gz")), build).unwrap();
        }
        Self {
            platform: Arc::default(),
            target: Arc::default(),
            data,
            layout,
        }
    }

    fn says(&self, path: &'static str, pages: Vec<Value>) {
        self.platform.kept.lock().unwrap().insert(path, pages);
    }

    /// Keeps house a few times.
    async fn keep_house(&self, unused_for: Duration) -> Running {
        let storage = StorageOptions {
            every: Duration::from_millis(20),
            unused_for,
            ..StorageOptions::default()
        };
        let url = self.platform.serve().await;
        let running = Running::start_with(self.data.path(), &self.target, &url, storage).await;
        self.turns(3).await;
        running
    }

    async fn turns(&self, more: usize) {
        let wanted = self.platform.asked.load(Ordering::SeqCst) + more;
        for _ in 0..500 {
            if self.platform.asked.load(Ordering::SeqCst) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within five seconds");
    }

    fn source(&self, build: &str) -> PathBuf {
        let name = format!("sidecar/sources/{build}.tar.gz");
        Path::new(self.data.path()).join(name)
    }
}

#[tokio::test]
async fn what_nothing_names_goes_over_all_pages_and_the_rest_stays() {
    let world = World::new();
    let mut named: Vec<Digest> = (0..4)
        .map(|n| artifact(&world.layout, &format!("named {n}")))
        .collect();
    named.sort_by_key(ToString::to_string);
    let unnamed = artifact(&world.layout, "unnamed");
    let page = |names: &[Digest], more: bool| {
        let kept: Vec<String> = names.iter().map(ToString::to_string).collect();
        json!({ "kept": kept, "more": more })
    };
    world.says(
        "/internal/artifacts",
        vec![page(&named[..2], true), page(&named[2..], false)],
    );
    world.says(
        "/internal/builds/sources",
        vec![json!({ "kept": [SOURCES[0]], "more": false })],
    );
    let _running = world.keep_house(Duration::ZERO).await;
    for digest in &named {
        assert!(world.layout.lists(digest).unwrap(), "{digest}");
    }
    assert!(!world.layout.lists(&unnamed).unwrap());
    assert!(world.source(SOURCES[0]).exists());
    assert!(!world.source(SOURCES[1]).exists());
}

#[tokio::test]
async fn nothing_is_removed_without_a_whole_answer() {
    let first = |names: Value, more: bool| vec![json!({ "kept": names, "more": more })];
    for pages in [
        // 503, at once and after the first page.
        vec![],
        first(json!(["sha256:00"]), true),
        // Not in order; more of nothing; something else.
        first(json!(["sha256:02", "sha256:01"]), false),
        first(json!([]), true),
        vec![json!({ "status": "ok" })],
    ] {
        let world = World::new();
        let unnamed = artifact(&world.layout, "unnamed");
        world.says("/internal/artifacts", pages.clone());
        world.says("/internal/builds/sources", pages.clone());
        let _running = world.keep_house(Duration::ZERO).await;
        assert!(world.layout.lists(&unnamed).unwrap(), "{pages:?}");
        assert!(world.source(SOURCES[0]).exists(), "{pages:?}");
    }
}

#[tokio::test]
async fn what_is_young_stays_although_nothing_names_it_yet() {
    let world = World::new();
    let unnamed = artifact(&world.layout, "unnamed");
    for path in ["/internal/artifacts", "/internal/builds/sources"] {
        world.says(path, vec![json!({ "kept": [], "more": false })]);
    }
    let _running = world.keep_house(Duration::from_secs(3600)).await;
    assert!(world.layout.lists(&unnamed).unwrap());
    assert!(world.source(SOURCES[1]).exists());
}

#[tokio::test]
async fn what_is_wanted_here_stays_although_the_platform_does_not_name_it() {
    let world = World::new();
    let (settled, wanted) = (
        artifact(&world.layout, "settled"),
        artifact(&world.layout, "wanted"),
    );
    let running = world.keep_house(Duration::ZERO).await;
    let spec_of = |generation, digest: &Digest| {
        let mut spec = spec(generation);
        spec["digest"] = digest.to_string().into();
        spec
    };
    assert_eq!(running.put(&spec_of(1, &settled)).await.0, 202);
    running
        .wait_for(|status| status.phase == nokube_api::sidecar::AppPhase::Running)
        .await;
    *world.target.hangs.lock().unwrap() = true;
    assert_eq!(running.put(&spec_of(2, &wanted)).await.0, 202);
    let unnamed = artifact(&world.layout, "unnamed");
    world.says(
        "/internal/artifacts",
        vec![json!({ "kept": [], "more": false })],
    );
    world.turns(3).await;
    assert!(!world.layout.lists(&unnamed).unwrap());
    assert!(world.layout.lists(&settled).unwrap());
    assert!(world.layout.lists(&wanted).unwrap());
}
