//! Naming what a component imports that nobody provides, with a remedy.

use wasmtime::component::Component as Module;

use crate::Engine;
use crate::component::ModuleError;

/// Beginnings of the names of what [`crate::instance::linker`] provides. The linker itself accepts every version
/// that is compatible; this list only tells which imports a failed link is *not* about.
const PROVIDED: &[&str] = &[
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:filesystem/",
    "wasi:http/client@0.3.",
    "wasi:http/handler@0.3.",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:http/types@0.2.",
    "wasi:http/types@0.3.",
    "wasi:io/",
    "wasi:keyvalue/",
    "wasi:random/",
    "wasi:sockets/",
    "fermyon:spin/key-value@2.",
    "fermyon:spin/sqlite@2.",
    "fermyon:spin/variables@2.",
    "spin:key-value/key-value@3.",
    "spin:sqlite/sqlite@3.",
    "spin:variables/variables@3.",
];

/// Interfaces that are not provided, with what to do instead.
const REMEDIES: &[(&str, &str)] = &[
    (
        "fermyon:spin/llm",
        "there is no AI inference here; call a model over HTTP",
    ),
    (
        "spin:llm/",
        "there is no AI inference here; call a model over HTTP",
    ),
    (
        "fermyon:spin/redis",
        "there is no Redis here; use a key-value store or SQLite",
    ),
    (
        "spin:redis/",
        "there is no Redis here; use a key-value store or SQLite",
    ),
    ("fermyon:spin/mysql", "there is no MySQL here; use SQLite"),
    ("spin:mysql/", "there is no MySQL here; use SQLite"),
    (
        "fermyon:spin/rdbms",
        "there is no PostgreSQL or MySQL here; use SQLite",
    ),
    (
        "fermyon:spin/postgres",
        "there is no PostgreSQL here yet; use SQLite",
    ),
    (
        "spin:postgres/",
        "there is no PostgreSQL here yet; use SQLite",
    ),
    ("fermyon:spin/mqtt", "there is no MQTT here; remove it"),
    ("spin:mqtt/", "there is no MQTT here; remove it"),
    (
        "fermyon:spin/",
        "it is of Spin 1; build the component with spin-sdk 3 or newer",
    ),
    (
        "wasi_snapshot_preview1",
        "build the component for the target wasm32-wasip2",
    ),
];

/// What `error`, which linking `module` gave, is about: one fault for each import that is not provided.
pub(crate) fn missing(
    engine: &Engine,
    module: &Module,
    error: &wasmtime::Error,
) -> Vec<ModuleError> {
    let text = format!("{error:#}");
    let ty = module.component_type();
    ty.imports(engine.wasmtime())
        .map(|(name, _)| name)
        .filter(|name| is_missing(name, &text))
        .map(|name| ModuleError::Import {
            import: name.to_owned(),
            remedy: remedy(name).to_owned(),
        })
        .collect()
}

fn is_missing(name: &str, error: &str) -> bool {
    let provided = PROVIDED.iter().any(|prefix| name.starts_with(prefix));
    // Release candidates are provided by nobody although their numbers begin alike.
    let candidate = name.contains("-rc-");
    !provided || candidate || error.contains(&format!("`{name}`"))
}

fn remedy(name: &str) -> &'static str {
    if name.starts_with("wasi:") {
        return "build the component with a current SDK, for a released version of WASI 0.2";
    }
    let known = REMEDIES.iter().find(|(prefix, _)| name.starts_with(prefix));
    known.map_or("remove what needs it from the component", |(_, remedy)| {
        remedy
    })
}
