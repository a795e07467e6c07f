//! Manifests: what is read, and every fault of what is not.

use proptest::prelude::*;

use super::*;

const GOOD: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
version = "1.0.0"
authors = ["a@example.com"]
[application.tool.other]
x = 1
[variables]
host = { default = "db.example.com", description = "where" }
key = { required = true, secret = true }
[[trigger.http]]
route = "/..."
component = "front"
[[trigger.http]]
id = "mine"
route = { private = true }
component = "api"
executor = { type = "http" }
[component.front]
source = "front.wasm"
files = ["assets/**/*", { source = "static", destination = "/" }]
exclude_files = ["assets/secret/*"]
allowed_http_hosts = []
[component.front.tool.x]
y = 1
[component.front.tool.nokube]
reuse = { requests = 1000, concurrent = 16 }
[component.api]
source = "target/api.wasm"
description = "the API"
environment = { A = "b" }
allowed_outbound_hosts = ["postgres://{{ host }}", "http://front.spin.internal"]
sqlite_databases = ["default", "my-db", "my_db"]
key_value_stores = ["default"]
[component.api.variables]
key = "{{ key }}"
[component.api.build]
command = ["cargo build", "true"]
workdir = "api"
watch = ["src/**/*.rs"]
"#;

/// The faults of a text. Each says where it is and what to do about it.
fn faults(text: &str) -> Vec<Fault> {
    let faults = Manifest::parse(text).unwrap_err().0;
    assert_are_whole(&faults);
    faults
}

fn assert_are_whole(faults: &[Fault]) {
    for fault in faults {
        assert!(fault.line > 0, "without a line: {fault}");
        assert!(!fault.message.is_empty(), "without words: {fault:?}");
        assert!(!fault.remedy.is_empty(), "without a remedy: {fault}");
    }
}

/// The faults of one component's lines, as (line in these lines, path within the component).
fn component_faults(lines: &str) -> Vec<(usize, String)> {
    let head = "spin_manifest_version = 2\napplication = { name = \"a\" }\n\
                trigger.http = [{ route = \"/\", component = \"c\" }]\n\
                variables.v = { default = \"x\" }\n[component.c]\n";
    let before = head.lines().count();
    faults(&format!("{head}{lines}"))
        .into_iter()
        .map(|f| (f.line - before, f.path.replace("component.c.", "")))
        .collect()
}

#[test]
fn everything_supported_is_read() {
    let manifest = Manifest::parse(GOOD).unwrap();
    assert_eq!(manifest.application.name, "shop");
    assert_eq!(
        manifest.variables["host"].default.as_deref(),
        Some("db.example.com")
    );
    assert!(manifest.variables["key"].secret && manifest.variables["key"].default.is_none());
    let ids: Vec<_> = manifest.triggers.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids, ["front-http-trigger", "mine"]);
    assert_eq!(manifest.triggers[1].route, Route::Private);
    let ids: Vec<_> = manifest.components.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["front", "api"]);
    let api = manifest.component("api").unwrap();
    assert_eq!(api.source, "target/api.wasm");
    assert_eq!(api.sqlite_databases, ["default", "my-db", "my_db"]);
    let build = api.build.as_ref().unwrap();
    assert_eq!(
        build.command.iter().collect::<Vec<_>>(),
        ["cargo build", "true"]
    );
    assert_eq!(build.workdir.as_deref(), Some("api"));
    assert_eq!(manifest.component("front").unwrap().files.len(), 2);
}

#[test]
fn what_we_do_not_run_is_refused_by_name_with_line_and_remedy() {
    let text = r#"spin_manifest_version = 2
[application]
name = "a"
targets = ["spin-up:3"]
[application.trigger.redis]
address = "redis://x"
[[trigger.http]]
route = "/"
component = { source = "x.wasm" }
[[trigger.http]]
route = "/s"
static_response = { status_code = 200 }
[[trigger.redis]]
channel = "c"
component = "c"
[component.c]
source = { url = "https://example.com/x.wasm", digest = "sha256:00" }
ai_models = ["llama2-chat"]
allowed_http_hosts = ["example.com"]
dependencies_inherit_configuration = true
[component.c.dependencies]
"a:b" = "1.0"
[component.c.profile.debug]
source = "y.wasm"
[component.d]
source = { registry = "example.com", package = "a:b", version = "1.0.0" }
colour = "blue"
"#;
    let faults = faults(text);
    let told: Vec<_> = faults.iter().map(|f| (f.line, f.path.as_str())).collect();
    assert_eq!(
        told,
        [
            (4, "application.targets"),
            (5, "application.trigger.redis"),
            (9, "trigger.http[0].component"),
            (10, "trigger.http[1]"),
            (12, "trigger.http[1].static_response"),
            (13, "trigger.redis"),
            (17, "component.c.source"),
            (18, "component.c.ai_models"),
            (19, "component.c.allowed_http_hosts"),
            (20, "component.c.dependencies_inherit_configuration"),
            (21, "component.c.dependencies"),
            (23, "component.c.profile"),
            (26, "component.d.source"),
            (27, "component.d.colour"),
        ]
    );
    let text = faults.iter().map(Fault::to_string).collect::<String>();
    for name in [
        "`redis`",
        "`ai_models`",
        "`allowed_outbound_hosts`",
        "URL",
        "registry",
    ] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

#[test]
fn wrong_types_are_all_told() {
    assert_eq!(
        component_faults(
            "source = 1\ndescription = []\nenvironment = { A = 1 }\nfiles = \"x\"\n\
             sqlite_databases = [1, \"a b\"]\nvariables = { v = true }\nbuild = { workdir = \"w\" }\n"
        ),
        [
            (1, "source".to_owned()),
            (2, "description".to_owned()),
            (3, "environment.A".to_owned()),
            (4, "files".to_owned()),
            (5, "sqlite_databases[0]".to_owned()),
            (5, "sqlite_databases[1]".to_owned()),
            (6, "variables.v".to_owned()),
            (7, "build".to_owned()),
        ]
    );
}

#[test]
fn wrong_types_outside_components_are_all_told() {
    for (good, bad, path) in [
        ("name = \"shop\"", "name = 1", "application.name"),
        ("name = \"shop\"", "name = \"\"", "application.name"),
        (
            "authors = [\"a@example.com\"]",
            "authors = \"a\"",
            "application.authors",
        ),
        ("secret = true", "secret = \"yes\"", "variables.key.secret"),
        ("route = \"/...\"", "route = 1", "trigger.http[0].route"),
        (
            "private = true",
            "private = 1",
            "trigger.http[1].route.private",
        ),
        ("private = true", "private = false", "trigger.http[1].route"),
        ("id = \"mine\"", "id = 1", "trigger.http[1].id"),
        (
            "{ type = \"http\" }",
            "{ type = \"wagi\" }",
            "trigger.http[1].executor.type",
        ),
        (
            "{ type = \"http\" }",
            "\"http\"",
            "trigger.http[1].executor",
        ),
        (
            "[component.front]",
            "[component.Front_Page]",
            "component.Front_Page",
        ),
        (
            "watch = [\"src/**/*.rs\"]",
            "watch = 1",
            "component.api.build.watch",
        ),
        (
            "workdir = \"api\"",
            "folder = \"api\"",
            "component.api.build.folder",
        ),
        (
            "{ A = \"b\" }",
            "{ \"A=\" = \"b\" }",
            "component.api.environment.A=",
        ),
    ] {
        let text = GOOD.replace(good, bad);
        assert_ne!(text, GOOD, "{good} is in the good manifest");
        let told = faults(&text);
        assert!(
            told.iter().any(|fault| fault.path == path),
            "{bad}: {told:?}"
        );
    }
    let config = crate::runtime_config::RuntimeConfig::parse(
        "max_instance_memory = -1\nstate_dir = 1\n[sqlite_database.default]\ntype = \"spin\"\nallow_attach_file = 1\n\
         [key_value_store]\n\"a b\" = 1\n[[variables_provider]]\ntype = \"static\"\n",
    );
    let faults = config.unwrap_err().0;
    assert_are_whole(&faults);
    assert_eq!(faults.len(), 6, "{faults:?}");
}

#[test]
fn routes_that_are_none_are_refused() {
    for route in ["/:", "/*name", "/a/*/b", "/.well-known/spin/x"] {
        let text = GOOD.replace("route = \"/...\"", &format!("route = \"{route}\""));
        assert_eq!(faults(&text)[0].path, "trigger.http[0].route", "{route}");
    }
}

#[test]
fn hosts_that_are_none_are_refused() {
    for host in [
        "example.com",
        "ht tp://example.com",
        "https://exa mple.com",
        "https://example.com:x",
        "redisx://example.com",
        "https://example.com/path",
        "https://{{ host",
        "https://{{ nope }}",
    ] {
        let text = GOOD.replace("http://front.spin.internal", host);
        let path = "component.api.allowed_outbound_hosts[1]";
        assert_eq!(faults(&text)[0].path, path, "{host}");
    }
}

#[test]
fn paths_that_leave_the_source_are_refused() {
    assert_eq!(
        component_faults(
            "source = \"../x.wasm\"\nfiles = [\"/etc/passwd\", \"a/../../b\", \"a/..\", \".\", \
             { source = \"../s\", destination = \"/\" }, { source = \"s\", destination = \"d\" }, \
             { source = \"s\", destination = \"/../d\" }]\nbuild = { command = \"x\", workdir = \"a/../..\" }\n"
        ),
        [
            (1, "source".to_owned()),
            (2, "files[0]".to_owned()),
            (2, "files[1]".to_owned()),
            (2, "files[2]".to_owned()),
            (2, "files[3]".to_owned()),
            (2, "files[4].source".to_owned()),
            (2, "files[5].destination".to_owned()),
            (2, "files[6].destination".to_owned()),
            (3, "build.workdir".to_owned()),
        ]
    );
}

#[test]
fn a_manifest_in_a_subfolder_may_name_a_source_above_it() {
    let text = GOOD.replace("\"front.wasm\"", "\"../../target/front.wasm\"");
    assert!(Manifest::parse(&text).is_err());
    assert!(Manifest::parse_at_depth(&text, 1).is_err());
    assert!(Manifest::parse_at_depth(&text, 2).is_ok());
}

#[test]
fn an_application_has_a_bounded_number_of_components() {
    let manifest = |count: usize| {
        let components: String = (0..count)
            .map(|n| format!("[component.c{n}]\nsource = \"c.wasm\"\n"))
            .collect();
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"c0\"\n{components}"
        )
    };
    assert!(Manifest::parse(&manifest(64)).is_ok());
    let told = faults(&manifest(65));
    assert!(
        told[0]
            .to_string()
            .contains("65 components; 64 are allowed"),
        "{told:?}"
    );
}

#[test]
fn the_components_of_an_application_have_a_bounded_number_of_stores_together() {
    let manifest = |key: &str, count: usize| {
        let component = |name: &str, labels: std::ops::Range<usize>| {
            let labels: Vec<_> = labels.map(|n| format!("\"l{n}\"")).collect();
            let list = labels.join(", ");
            format!("[component.{name}]\nsource = \"c.wasm\"\n{key} = [{list}]\n")
        };
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n{}{}",
            component("a", 0..10),
            // Two of them are the first one's.
            component("b", 8..count),
        )
    };
    for (key, what) in [
        ("sqlite_databases", "SQLite databases"),
        ("key_value_stores", "key-value stores"),
    ] {
        assert!(Manifest::parse(&manifest(key, 16)).is_ok(), "{key}");
        let told = faults(&manifest(key, 17));
        assert_are_whole(&told);
        let message = format!("17 {what}; 16 are allowed");
        assert!(told[0].to_string().contains(&message), "{told:?}");
    }
}

#[test]
fn variables_templates_and_hosts_are_checked() {
    assert_eq!(
        component_faults(
            "source = \"x.wasm\"\nallowed_outbound_hosts = [\"example.com\", \"http://{{ nope }}\", \
             \"http://{{ v }}\"]\nvariables = { a = \"{{ nope }}\", B = \"{{ v }}\", c = \"{{ v\" }\n"
        ),
        [
            (2, "allowed_outbound_hosts[0]".to_owned()),
            (2, "allowed_outbound_hosts[1]".to_owned()),
            (3, "variables.a".to_owned()),
            (3, "variables.B".to_owned()),
            (3, "variables.c".to_owned()),
        ]
    );
    let text = GOOD.replace(
        "key = { required = true, secret = true }",
        "key = { required = true, default = \"\" }\nnone = {}\nBad = { default = \"\" }\nplain = \"x\"",
    );
    assert_eq!(faults(&text).len(), 4);
}

#[test]
fn triggers_name_components_that_are_there_and_routes_once() {
    let text = GOOD.replace(
        "[component.front]",
        "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"gone\"\n\
         [[trigger.http]]\nid = \"mine\"\nroute = \"/a/*/b\"\ncomponent = \"api\"\n[component.front]",
    );
    let told: Vec<_> = faults(&text).into_iter().map(|f| f.path).collect();
    assert_eq!(
        told,
        [
            "trigger.http[2].component",
            "trigger.http[2].route",
            "trigger.http[3].id",
            "trigger.http[3].route",
        ]
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let faults = faults("spin_manifest_version = 2\n[application\nname = \"x\"\n");
    assert_eq!(faults[0].line, 2);
    assert!(faults[0].message.starts_with("not TOML"), "{}", faults[0]);
}

#[test]
fn other_versions_are_refused() {
    for version in ["\"1\"", "1", "3", "2.0", "\"2\""] {
        let text = GOOD.replace("version = 2", &format!("version = {version}"));
        assert_eq!(faults(&text)[0].path, "spin_manifest_version", "{version}");
    }
    let told: Vec<_> = faults("").into_iter().map(|f| f.path).collect();
    assert_eq!(told, ["spin_manifest_version", "application", "trigger"]);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        if let Err(faults) = Manifest::parse(&text) {
            assert_are_whole(&faults.0);
        }
    }

    #[test]
    fn no_change_to_a_good_manifest_makes_the_parser_panic(
        at in 0..GOOD.len(), cut in 0usize..40, put in "[\\[\\]{}=\"a-z.\n ]{0,6}",
    ) {
        let end = (at + cut).min(GOOD.len());
        let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(faults) = Manifest::parse(&text) {
            assert_are_whole(&faults.0);
        }
    }
}
