//! Packing gives what `spin registry push` wrote for the same applications, but for the component
//! itself, which is not at hand, and the time.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;
use std::path::{Path, PathBuf};

use nokube_artifact::Digest;
use nokube_artifact::layout::{ImportLimits, Layout};
use nokube_artifact::pack::{PackLimits, Packed, Source, pack};
use nokube_artifact::unpack::{UnpackLimits, unpack};
use nokube_spinapp::manifest::Manifest;
use serde_json::Value;

const SPINS_COMPONENT: &str =
    "sha256:658501297a947a751004a112fecc139e9943aa919f75a32f51fd059fa0f3e945";
const SPINS_COMPONENT_BYTES: u64 = 238_970;

fn fixture(name: &str) -> Value {
    serde_json::from_str(&fixture_text(name)).unwrap()
}

fn fixture_text(name: &str) -> String {
    let fixtures = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../spinapp/tests/fixtures"
    ));
    fs::read_to_string(fixtures.join(name)).unwrap()
}

fn component() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
            (@custom "padding" "so that it is above what is inlined, as every real component is, by far"))"#,
    )
    .unwrap()
}

fn packed(dir: &Path, name: &str) -> (Layout, Packed) {
    let source = dir.join("source");
    fs::create_dir_all(source.join("assets/sub")).unwrap();
    fs::write(source.join("probe.wasm"), component()).unwrap();
    fs::write(source.join("assets/index.html"), "<h1>hi</h1>\n").unwrap();
    fs::write(source.join("assets/sub/a.css"), "b{}\n").unwrap();
    let manifest = Manifest::parse(&fixture_text(&format!("{name}/spin.toml"))).unwrap();
    let layout = Layout::open(dir.join("layout")).unwrap();
    let source = Source {
        root: &source,
        manifest_dir: Path::new(""),
    };
    let created = fixture(&format!("{name}/manifest.json"));
    let created = created["annotations"]["org.opencontainers.image.created"]
        .as_str()
        .unwrap()
        .to_owned();
    let packed = pack(&layout, &manifest, source, &created, PackLimits::default()).unwrap();
    (layout, packed)
}

/// Replaces every text and number in a tree.
fn replace(value: &mut Value, with: &dyn Fn(&Value) -> Option<Value>) {
    if let Some(new) = with(value) {
        *value = new;
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| replace(one, with)),
        Value::Object(map) => map.values_mut().for_each(|one| replace(one, with)),
        _ => {}
    }
}

#[test]
fn the_artifact_is_the_one_that_spin_pushed() {
    for name in ["probe", "site"] {
        let dir = tempfile::tempdir().unwrap();
        let (layout, packed) = packed(dir.path(), name);
        let ours = component();
        let our_digest = Digest::of(&ours).to_string();

        let locked = packed.manifest.layers.last().unwrap();
        let locked_bytes = layout.read_blob(&locked.digest, 10_000).unwrap();
        let locked_text = String::from_utf8(locked_bytes).unwrap();
        // With Spin's component in place of ours the locked application has Spin's very bytes.
        let as_spin = locked_text.replace(&our_digest, SPINS_COMPONENT);
        let manifest = fixture(&format!("{name}/manifest.json"));
        let layers = manifest["layers"].as_array().unwrap();
        let spins_locked = layers.last().unwrap();
        assert_eq!(
            spins_locked["digest"],
            Digest::of(as_spin.as_bytes()).to_string()
        );
        assert_eq!(
            serde_json::from_str::<Value>(&as_spin).unwrap(),
            fixture(&format!("{name}/locked-app.json"))
        );

        // The configuration names the locked application's digest; with Spin's it is Spin's.
        let config = layout
            .read_blob(&packed.manifest.config.digest, 10_000)
            .unwrap();
        let spins_locked_digest = spins_locked["digest"].as_str().unwrap();
        let config = String::from_utf8(config)
            .unwrap()
            .replace(&locked.digest.to_string(), spins_locked_digest);
        let spins_config = &manifest["config"];
        assert_eq!(
            spins_config["digest"],
            Digest::of(config.as_bytes()).to_string()
        );

        // The image manifest is the same but for those digests and sizes.
        let mut own: Value = serde_json::from_slice(&packed.manifest.to_json()).unwrap();
        let own_config = packed.manifest.config.digest.to_string();
        let swaps = [
            (our_digest, SPINS_COMPONENT),
            (locked.digest.to_string(), spins_locked_digest),
            (own_config, spins_config["digest"].as_str().unwrap()),
        ];
        let own_size = ours.len() as u64;
        replace(&mut own, &|value| {
            if value.as_u64() == Some(own_size) {
                return Some(SPINS_COMPONENT_BYTES.into());
            }
            let (_, spins) = swaps.iter().find(|(own, _)| value.as_str() == Some(own))?;
            Some((*spins).into())
        });
        assert_eq!(own, manifest);
    }
}

#[test]
fn an_artifact_travels_as_an_archive_and_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let (layout, packed) = packed(dir.path(), "site");
    let mut tar = Vec::new();
    layout.export_tar(&packed.digest, &mut tar).unwrap();
    let other = Layout::open(dir.path().join("other")).unwrap();
    let digest = other.import_tar(&tar[..], ImportLimits::default()).unwrap();
    assert_eq!(digest, packed.digest);

    let to = dir.path().join("apps/one");
    let unpacked = unpack(&other, &digest, &to, UnpackLimits::default()).unwrap();
    assert_eq!(unpacked.app, packed.app);
    let front = unpacked.app.component("front").unwrap();
    let api = unpacked.app.component("api").unwrap();
    assert_eq!(fs::read(unpacked.module_path(front)).unwrap(), component());
    let files = unpacked.files_dir(front).unwrap();
    assert_eq!(
        fs::read_to_string(files.join("index.html")).unwrap(),
        "<h1>hi</h1>\n"
    );
    assert_eq!(
        fs::read_to_string(files.join("sub/a.css")).unwrap(),
        "b{}\n"
    );
    assert_eq!(unpacked.files_dir(api), None);
    let again = unpack(&other, &digest, &to, UnpackLimits::default()).unwrap();
    assert_eq!(again.app, packed.app, "a folder that is there is opened");
}
