//! Packing: what Spin would push, byte for byte where it matters.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::oci::{ARCHIVE_TYPE, DATA_TYPE, SPIN_APPLICATION_TYPE, WASM_TYPE};
use crate::unpack::{UnpackLimits, unpack};

const CREATED: &str = "2026-11-20T18:32:05.527869304+00:00";

fn handler() -> Vec<u8> {
    wat::parse_str(
        r#"(component
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
            (@custom "padding" "so that it is above what is inlined, as every real component is, by far"))"#,
    )
    .unwrap()
}

struct Bench {
    dir: TempDir,
    layout: Layout,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let layout = Layout::open(dir.path().join("layout")).unwrap();
        let bench = Self { dir, layout };
        bench.write("app.wasm", &handler());
        bench
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn pack_in(&self, dir: &str, lines: &str) -> Result<Packed, PackError> {
        let text = format!(
            "spin_manifest_version = 2\napplication = {{ name = \"a\" }}\n\
             trigger.http = [{{ route = \"/...\", component = \"c\" }}]\n[component.c]\n{lines}"
        );
        let depth = Path::new(dir).components().count();
        let manifest = Manifest::parse_at_depth(&text, depth).unwrap();
        let source = Source {
            root: &self.root(),
            manifest_dir: Path::new(dir),
        };
        let limits = PackLimits {
            files: 600,
            ..PackLimits::default()
        };
        pack(&self.layout, &manifest, source, CREATED, limits)
    }

    fn pack(&self, lines: &str) -> Result<Packed, PackError> {
        self.pack_in("", lines)
    }

    /// The paths of the component's files.
    fn files(&self, lines: &str) -> Vec<String> {
        let packed = self
            .pack(&format!("source = \"app.wasm\"\n{lines}"))
            .unwrap();
        let files = &packed.app.components[0].files;
        files.iter().map(|file| file.path.clone()).collect()
    }

    fn refusal(&self, lines: &str) -> String {
        self.pack(lines).unwrap_err().to_string()
    }
}

fn types(packed: &Packed) -> Vec<&str> {
    let layers = packed.manifest.layers.iter();
    layers.map(|layer| layer.media_type.as_str()).collect()
}

#[test]
fn small_files_are_inlined_and_larger_ones_are_layers() {
    let bench = Bench::new();
    bench.write("s/small", &[b'a'; 128]);
    bench.write("s/large", &[b'b'; 129]);
    bench.write("s/twin", &[b'b'; 129]);
    let packed = bench
        .pack("source = \"app.wasm\"\nfiles = [{ source = \"s\", destination = \"/\" }]")
        .unwrap();
    assert_eq!(
        types(&packed),
        [WASM_TYPE, DATA_TYPE, SPIN_APPLICATION_TYPE]
    );
    let files = &packed.app.components[0].files;
    let inlined: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.content.inline.is_some()))
        .collect();
    assert_eq!(
        inlined,
        [("large", false), ("small", true), ("twin", false)]
    );
    assert_eq!(
        packed.manifest.annotations["org.opencontainers.image.created"],
        CREATED
    );
}

#[test]
fn the_same_source_gives_the_same_digest() {
    let (one, two) = (Bench::new(), Bench::new());
    for name in ["b", "a", "c/d"] {
        one.write(&format!("s/{name}"), name.as_bytes());
    }
    for name in ["c/d", "a", "b"] {
        two.write(&format!("s/{name}"), name.as_bytes());
    }
    let lines = "source = \"app.wasm\"\nfiles = [\"s/**/*\"]";
    assert_eq!(
        one.pack(lines).unwrap().digest,
        two.pack(lines).unwrap().digest
    );
}

#[test]
fn mounts_are_found_as_spin_finds_them() {
    let bench = Bench::new();
    for path in [
        "s/a.txt",
        "s/b.css",
        "s/.hidden",
        "s/deep/er/c.txt",
        "t.txt",
    ] {
        bench.write(path, path.as_bytes());
    }
    for (files, wanted) in [
        (r#"["t.txt"]"#, &["t.txt"][..]),
        (
            r#"["s"]"#,
            &["s/.hidden", "s/a.txt", "s/b.css", "s/deep/er/c.txt"],
        ),
        (r#"["./s/*.txt"]"#, &["s/a.txt"]),
        (r#"["s/*"]"#, &["s/.hidden", "s/a.txt", "s/b.css"]),
        (r#"["s/**/*.txt"]"#, &["s/a.txt", "s/deep/er/c.txt"]),
        (r#"["**/c.txt"]"#, &["s/deep/er/c.txt"]),
        (r#"["s/[ab].*"]"#, &["s/a.txt", "s/b.css"]),
        (r#"["nothing/*"]"#, &[]),
        (
            r#"[{ source = "s/deep", destination = "/x/" }]"#,
            &["x/er/c.txt"],
        ),
        (
            r#"[{ source = "t.txt", destination = "/u/v.txt" }]"#,
            &["u/v.txt"],
        ),
    ] {
        assert_eq!(bench.files(&format!("files = {files}")), wanted, "{files}");
    }
    let lines = "files = [{ source = \"s\", destination = \"/\" }]\nexclude_files = [\"s/*.txt\"]";
    // As in Spin, `*` in an exclusion goes over folders too.
    assert_eq!(bench.files(lines), [".hidden", "b.css"]);
    let lines = "files = [{ source = \"t.txt\", destination = \"/x\" }, { source = \"s/a.txt\", destination = \"/x\" }]";
    assert_eq!(bench.files(lines), ["x"], "the later mount wins");
}

#[test]
fn mounts_that_are_not_there_are_told() {
    let bench = Bench::new();
    bench.write("f", b"x");
    let told = bench.refusal(
        "source = \"gone.wasm\"\nfiles = [\"gone\", { source = \"no\", destination = \"/\" }, \
         { source = \"f\", destination = \"/\" }, \"a**b/x\"]\nexclude_files = [\"[\"]\n",
    );
    for part in [
        "line 5: component.c.source: there is no file gone.wasm",
        "line 6: component.c.files[0]: there is no file gone",
        "files[1]: there is no file no",
        "files[2]: \"f\" is a file",
        "files[3]: \"a**b/x\" is not a pattern",
        "exclude_files[0]",
    ] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
}

#[test]
fn links_that_lead_out_of_the_source_are_refused() {
    let bench = Bench::new();
    let outside = bench.dir.path().join("secret");
    fs::write(&outside, b"secret").unwrap();
    fs::create_dir_all(bench.root().join("s")).unwrap();
    symlink(&outside, bench.root().join("s/absolute")).unwrap();
    let told = bench.refusal("source = \"s/absolute\"\nfiles = [\"s/absolute\"]");
    assert_eq!(told.matches("leads out of").count(), 2, "{told}");
    for files in [
        r#"["s/**/*"]"#,
        r#"["s"]"#,
        r#"[{ source = "s", destination = "/" }]"#,
    ] {
        let told = bench.refusal(&format!("source = \"app.wasm\"\nfiles = {files}"));
        assert!(told.contains("leads out of"), "{told}");
    }
    fs::remove_file(bench.root().join("s/absolute")).unwrap();
    symlink("../../secret", bench.root().join("s/relative")).unwrap();
    let told = bench.refusal("source = \"app.wasm\"\nfiles = [\"s/*\"]");
    assert!(told.contains("leads out of"), "{told}");
    fs::remove_file(bench.root().join("s/relative")).unwrap();
    symlink("..", bench.root().join("s/loop")).unwrap();
    let told = bench.refusal("source = \"app.wasm\"\nfiles = [\"s/**/*\"]");
    assert!(
        told.contains("nested") || told.contains("more than"),
        "{told}"
    );
}

#[test]
fn links_that_multiply_without_end_are_given_up() {
    let bench = Bench::new();
    fs::create_dir_all(bench.root().join("s")).unwrap();
    for name in ["a", "b"] {
        symlink(".", bench.root().join("s").join(name)).unwrap();
    }
    for files in [r#"["s/**/*"]"#, r#"["s"]"#, r#"["**/**/**/x"]"#] {
        let begun = std::time::Instant::now();
        bench.refusal(&format!("source = \"app.wasm\"\nfiles = {files}"));
        assert!(begun.elapsed().as_secs() < 60, "{files}");
    }
}

#[test]
fn links_inside_the_source_are_followed() {
    let bench = Bench::new();
    bench.write("real/a", b"x");
    symlink("real", bench.root().join("link")).unwrap();
    symlink("nowhere", bench.root().join("real/broken")).unwrap();
    assert_eq!(bench.files("files = [\"link/**/*\"]"), ["link/a"]);
}

#[test]
fn a_pipe_does_not_stop_the_packing() {
    let bench = Bench::new();
    let pipe = bench.root().join("s");
    fs::create_dir_all(&pipe).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, pipe.join("pipe"), kind, mode, 0).unwrap();
    assert_eq!(bench.files("files = [\"s/*\"]"), [] as [&str; 0]);
    let told = bench.refusal("source = \"s/pipe\"");
    assert!(told.contains("not a file"), "{told}");
}

#[test]
fn a_source_above_the_manifest_is_found_inside_the_root_only() {
    let bench = Bench::new();
    bench.write("apps/one/s/a", b"x");
    let packed = bench
        .pack_in("apps/one", "source = \"../../app.wasm\"\nfiles = [\"s/*\"]")
        .unwrap();
    assert_eq!(packed.app.components[0].files[0].path, "s/a");
    let outside = bench.root().join("apps/one/up");
    symlink("../../..", &outside).unwrap();
    let told = bench
        .pack_in("apps/one", "source = \"up/secret\"")
        .unwrap_err();
    assert!(told.to_string().contains("leads out of"), "{told}");
}

#[test]
fn what_is_no_http_component_is_refused() {
    let bench = Bench::new();
    bench.write("text.wasm", b"#!/bin/sh");
    bench.write("module.wasm", &wat::parse_str("(module)").unwrap());
    bench.write("other.wasm", &wat::parse_str("(component)").unwrap());
    for (file, part) in [
        ("text", "not a WebAssembly file"),
        ("module", "not a WebAssembly component"),
        ("other", "does not answer HTTP"),
    ] {
        let told = bench.refusal(&format!("source = \"{file}.wasm\""));
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn limits_on_files_are_kept() {
    let bench = Bench::new();
    for n in 0..601 {
        bench.write(&format!("s/{n}"), b"x");
    }
    let told = bench.refusal("source = \"app.wasm\"\nfiles = [\"s/*\"]");
    assert!(told.contains("more than 600 files"), "{told}");
}

#[test]
fn components_count_towards_the_size_of_an_application() {
    let bench = Bench::new();
    let text = "spin_manifest_version = 2\napplication = { name = \"a\" }\n\
                trigger.http = [{ route = \"/...\", component = \"one\" }]\n\
                component.one.source = \"app.wasm\"\ncomponent.two.source = \"app.wasm\"\n";
    let manifest = Manifest::parse(text).unwrap();
    let source = Source {
        root: &bench.root(),
        manifest_dir: Path::new(""),
    };
    let size = handler().len() as u64;
    let with = |total_bytes| {
        let limits = PackLimits {
            total_bytes,
            ..PackLimits::default()
        };
        pack(&bench.layout, &manifest, source, CREATED, limits)
    };
    assert!(with(size * 2).is_ok());
    let told = with(size * 2 - 1).unwrap_err();
    assert!(
        matches!(&told, PackError::Limit(text) if text.contains("components")),
        "{told}"
    );
}

#[test]
fn above_500_layers_the_files_become_an_archive_that_unpacks_to_the_same() {
    let bench = Bench::new();
    for n in 0..500 {
        bench.write(&format!("s/{n}"), format!("{n:0>200}").as_bytes());
    }
    bench.write("s/small", b"small");
    let lines = "source = \"app.wasm\"\nfiles = [{ source = \"s\", destination = \"/\" }]";
    let packed = bench.pack(lines).unwrap();
    assert_eq!(
        types(&packed),
        [WASM_TYPE, ARCHIVE_TYPE, SPIN_APPLICATION_TYPE]
    );
    assert_eq!(
        bench.pack(lines).unwrap().digest,
        packed.digest,
        "the same bytes"
    );
    let to = bench.dir.path().join("unpacked");
    let limits = UnpackLimits::default();
    let unpacked = unpack(&bench.layout, &packed.digest, &to, limits).unwrap();
    let files = unpacked.files_dir(&unpacked.app.components[0]).unwrap();
    for n in 0..500 {
        let wanted = format!("{n:0>200}");
        assert_eq!(
            fs::read_to_string(files.join(n.to_string())).unwrap(),
            wanted
        );
    }
    assert_eq!(fs::read(files.join("small")).unwrap(), b"small");
}

#[test]
fn an_artifact_carries_what_the_manifest_says_about_reuse() {
    let bench = Bench::new();
    let lines = "source = \"app.wasm\"\ntool.nokube.reuse = { requests = 8, concurrent = 2 }";
    let packed = bench.pack(lines).unwrap();
    let to = bench.dir.path().join("unpacked");
    let unpacked = unpack(&bench.layout, &packed.digest, &to, UnpackLimits::default()).unwrap();
    let reuse = unpacked.app.components[0].reuse().unwrap();
    assert_eq!((reuse.requests, reuse.concurrent), (8, 2));
}

#[test]
fn a_static_site_leaves_out_what_is_nobodys_business() {
    let bench = Bench::new();
    for path in [
        "index.html",
        "css/a.css",
        ".env",
        ".git/config",
        ".well-known/security.txt",
        "node_modules/x/y.js",
        "css/.htaccess",
    ] {
        bench.write(path, path.as_bytes());
    }
    let fileserver = handler();
    let options = SiteOptions {
        name: "site",
        fileserver: &fileserver,
        created: CREATED,
        limits: PackLimits::default(),
    };
    let packed = pack_static_site(&bench.layout, &bench.root(), options).unwrap();
    let component = &packed.app.components[0];
    let files: Vec<_> = component.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(
        files,
        [
            ".well-known/security.txt",
            "app.wasm",
            "css/a.css",
            "index.html"
        ]
    );
    assert_eq!(packed.app.triggers[0].component(), component.id);
    let empty = TempDir::new().unwrap();
    assert!(pack_static_site(&bench.layout, empty.path(), options).is_err());
}
