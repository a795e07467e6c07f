//! Artifacts from outside: what is in them is not believed.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_artifact::oci::{
    ARCHIVE_TYPE, CONFIG_TYPE, DATA_TYPE, Descriptor, ImageManifest, SPIN_APPLICATION_TYPE,
    WASM_TYPE,
};
use nokube_artifact::unpack::{UnpackError, UnpackLimits, Unpacked, unpack};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIMITS: UnpackLimits = UnpackLimits {
    files: 20,
    bytes: 10_000,
};

struct Bench {
    dir: TempDir,
    layout: Layout,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let layout = Layout::open(dir.path().join("layout")).unwrap();
        Self { dir, layout }
    }

    fn to(&self) -> PathBuf {
        self.dir.path().join("apps/one")
    }

    fn unpack(&self, app: &Value, layers: &[(&str, &[u8])]) -> Result<Unpacked, UnpackError> {
        let app = app.to_string();
        let mut layers = layers.to_vec();
        layers.push((SPIN_APPLICATION_TYPE, app.as_bytes()));
        self.unpack_layers(&layers)
    }

    fn unpack_layers(&self, layers: &[(&str, &[u8])]) -> Result<Unpacked, UnpackError> {
        let _storing = self.layout.storing().unwrap();
        self.layout.put_bytes(b"{}").unwrap();
        let layers = layers.iter().map(|(media_type, bytes)| {
            self.layout.put_bytes(bytes).unwrap();
            Descriptor::of(media_type, bytes)
        });
        let manifest = ImageManifest {
            annotations: Default::default(),
            config: Descriptor::of(CONFIG_TYPE, b"{}"),
            layers: layers.collect(),
            media_type: None,
            schema_version: 2,
        };
        let digest = self.layout.put_manifest(&manifest.to_json()).unwrap();
        unpack(&self.layout, &digest, &self.to(), LIMITS)
    }

    /// Nothing is left after a refusal.
    fn is_clean(&self) -> bool {
        fs::read_dir(self.dir.path().join("apps")).map_or(0, Iterator::count) == 0
    }
}

fn app(files: Value) -> Value {
    json!({
        "spin_lock_version": 0,
        "metadata": { "name": "a" },
        "triggers": [{ "id": "t", "trigger_type": "http",
            "trigger_config": { "component": "c", "route": "/..." } }],
        "components": [{
            "id": "c",
            "source": { "content_type": "application/wasm", "digest": Digest::of(b"wasm") },
            "files": files,
        }],
    })
}

fn tar_gz(entries: &[(tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (n, (kind, bytes)) in entries.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        builder
            .append_data(&mut header, format!("{n:0>150}"), *bytes)
            .unwrap();
    }
    let mut gzip = builder.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

#[test]
fn files_come_inline_from_layers_and_from_archives() {
    let bench = Bench::new();
    let files = json!([
        { "inline": "aGk", "path": "inline" },
        { "digest": Digest::of(b"layer"), "path": "d/layer" },
        { "digest": Digest::of(b"archived"), "path": "d/e/archived" },
        { "digest": Digest::of(b"archived"), "path": "twice" },
    ]);
    let archive = tar_gz(&[
        (tar::EntryType::Symlink, b""),
        (tar::EntryType::Regular, b"not wanted"),
        (tar::EntryType::Regular, b"archived"),
    ]);
    let layers = [
        (WASM_TYPE, &b"wasm"[..]),
        (DATA_TYPE, b"layer"),
        (ARCHIVE_TYPE, &archive),
    ];
    let unpacked = bench.unpack(&app(files), &layers).unwrap();
    let component = &unpacked.app.components[0];
    let files = unpacked.files_dir(component).unwrap();
    for (path, text) in [
        ("inline", "hi"),
        ("d/layer", "layer"),
        ("d/e/archived", "archived"),
        ("twice", "archived"),
    ] {
        assert_eq!(
            fs::read_to_string(files.join(path)).unwrap(),
            text,
            "{path}"
        );
    }
    assert_eq!(fs::read(unpacked.module_path(component)).unwrap(), b"wasm");
    let names = fs::read_dir(bench.dir.path().join("apps")).unwrap();
    assert_eq!(names.count(), 1, "nothing else is left beside it");
}

#[test]
fn paths_that_escape_are_refused() {
    for path in ["../x", "/x", "a/../../x", "a\u{0}b"] {
        let bench = Bench::new();
        let files = json!([{ "inline": "aGk", "path": path }]);
        let refused = bench.unpack(&app(files), &[(WASM_TYPE, b"wasm")]);
        assert!(matches!(refused, Err(UnpackError::Locked(_))), "{path}");
        assert!(bench.is_clean());
    }
    let bench = Bench::new();
    let mut app = app(json!([]));
    app["components"][0]["id"] = json!("../../x");
    assert!(bench.unpack(&app, &[(WASM_TYPE, b"wasm")]).is_err());
}

#[test]
fn content_of_other_artifacts_of_the_layout_is_not_given() {
    let bench = Bench::new();
    let other = bench.layout.put_bytes(b"another tenant's").unwrap();
    let files = json!([{ "digest": other, "path": "x" }]);
    let refused = bench.unpack(&app(files), &[(WASM_TYPE, b"wasm")]);
    assert!(matches!(refused, Err(UnpackError::Missing { .. })));
    let refused = bench.unpack(&app(json!([])), &[]);
    assert!(matches!(refused, Err(UnpackError::Missing { .. })));
    assert!(bench.is_clean());
}

#[test]
fn inline_content_that_is_not_its_digest_is_refused() {
    let bench = Bench::new();
    let files = json!([{ "inline": "aGk", "digest": Digest::of(b"ho"), "path": "x" }]);
    let refused = bench.unpack(&app(files), &[(WASM_TYPE, b"wasm")]);
    assert!(matches!(refused, Err(UnpackError::Layout(_))));
    assert!(bench.is_clean());
}

#[test]
fn bombs_are_refused() {
    let wasm = (WASM_TYPE, &b"wasm"[..]);
    // Zeros compress a thousandfold.
    let zeros = vec![0; 1_000_000];
    let bomb = tar_gz(&[(tar::EntryType::Regular, &zeros)]);
    let bench = Bench::new();
    let refused = bench.unpack(&app(json!([])), &[wasm, (ARCHIVE_TYPE, &bomb)]);
    assert!(refused.is_err());
    assert!(bench.is_clean());

    let many = vec![(tar::EntryType::Regular, &b""[..]); 500];
    let bench = Bench::new();
    let refused = bench.unpack(&app(json!([])), &[wasm, (ARCHIVE_TYPE, &tar_gz(&many))]);
    assert!(matches!(
        refused,
        Err(UnpackError::Limit(_) | UnpackError::Archive(_))
    ));

    let bench = Bench::new();
    let files: Vec<_> = (0..30)
        .map(|n| json!({ "inline": "aGk", "path": format!("f{n}") }))
        .collect();
    let refused = bench.unpack(&app(json!(files)), &[wasm]);
    assert!(matches!(refused, Err(UnpackError::Limit(_))));

    // One layer, used often: each use is a copy.
    let large = vec![7; 4000];
    let files: Vec<_> = (0..4)
        .map(|n| json!({ "digest": Digest::of(&large), "path": format!("f{n}") }))
        .collect();
    let bench = Bench::new();
    let refused = bench.unpack(&app(json!(files)), &[wasm, (DATA_TYPE, &large)]);
    assert!(matches!(refused, Err(UnpackError::Limit(_))));
    assert!(bench.is_clean());
}

#[test]
fn an_image_that_is_no_spin_application_is_said_so() {
    let bench = Bench::new();
    let refused = bench.unpack_layers(&[(WASM_TYPE, b"wasm")]);
    assert!(matches!(refused, Err(UnpackError::NotSpin(0))));
    let refused = bench.unpack_layers(&[(SPIN_APPLICATION_TYPE, b"{}")]);
    assert!(matches!(refused, Err(UnpackError::Locked(_))));
    let missing = unpack(&bench.layout, &Digest::of(b"none"), &bench.to(), LIMITS);
    assert!(matches!(missing, Err(UnpackError::Layout(_))));
}
