//! Which versions of the interfaces a component can import. The components are written out in WAT, with the imports
//! that the SDKs' components have; nothing of them runs.

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine};

use super::key_value::{self, KeyValueState};
use super::sqlite::{self, SqliteState};
use super::variables::{self, VariablesState};

struct Data {
    variables: VariablesState,
    key_value: KeyValueState,
    sqlite: SqliteState,
}

fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    Engine::new(&config).unwrap()
}

fn linker(engine: &Engine) -> Linker<Data> {
    let mut linker = Linker::new(engine);
    variables::add_to_linker(&mut linker, |data: &mut Data| &mut data.variables).unwrap();
    key_value::add_to_linker(&mut linker, |data: &mut Data| &mut data.key_value).unwrap();
    sqlite::add_to_linker(&mut linker, |data: &mut Data| &mut data.sqlite).unwrap();
    linker
}

/// Whether a component links that imports `name` with the contents `instance`.
fn links(name: &str, instance: &str) -> Result<(), String> {
    let engine = engine();
    let text = format!("(component (import \"{name}\" (instance {instance})))");
    let bytes = wat::parse_str(text).unwrap();
    let component = Component::new(&engine, bytes).map_err(|error| format!("{error:?}"))?;
    let linked = linker(&engine).instantiate_pre(&component);
    linked.map(drop).map_err(|error| format!("{error:?}"))
}

const VARIABLES_ERROR: &str = r#"
    (type $error-def (variant (case "invalid-name" string) (case "undefined" string)
        (case "provider" string) (case "other" string)))
    (export "error" (type $error (eq $error-def)))"#;

const SQLITE_TYPES: &str = r#"
    (export "connection" (type $connection (sub resource)))
    (type $error-def (variant (case "no-such-database") (case "access-denied")
        (case "invalid-connection") (case "database-full") (case "io" string)))
    (export "error" (type $error (eq $error-def)))
    (type $value-def (variant (case "integer" s64) (case "real" f64) (case "text" string)
        (case "blob" (list u8)) (case "null")))
    (export "value" (type $value (eq $value-def)))
    (type $row-def (record (field "values" (list $value))))
    (export "row-result" (type $row (eq $row-def)))
    (type $result-def (record (field "columns" (list string)) (field "rows" (list $row))))
    (export "query-result" (type $result (eq $result-def)))
    (export "[static]connection.open" (func (param "database" string)
        (result (result (own $connection) (error $error)))))
    (export "[method]connection.execute" (func (param "self" (borrow $connection))
        (param "statement" string) (param "parameters" (list $value))
        (result (result $result (error $error)))))"#;

const SQLITE_3_0: &str = r#"
    (export "[method]connection.last-insert-rowid"
        (func (param "self" (borrow $connection)) (result s64)))
    (export "[method]connection.changes"
        (func (param "self" (borrow $connection)) (result u64)))"#;

const SQLITE_3_1: &str = r#"
    (export "[static]connection.open-async" (func async (param "database" string)
        (result (result (own $connection) (error $error)))))
    (export "[method]connection.execute-async" (func async (param "self" (borrow $connection))
        (param "statement" string) (param "parameters" (list $value))
        (result (result (tuple (list string) (stream $row) (future (result (error $error))))
            (error $error)))))"#;

const STORE_TYPES: &str = r#"
    (export "store" (type $store (sub resource)))
    (type $error-def (variant (case "store-table-full") (case "no-such-store")
        (case "access-denied") (case "other" string)))
    (export "error" (type $error (eq $error-def)))"#;

#[test]
fn components_of_every_sdk_find_their_variables() {
    let get = |kind| {
        format!(
            r#"{VARIABLES_ERROR} (export "get" (func {kind} (param "name" string)
                (result (result string (error $error)))))"#
        )
    };
    links("fermyon:spin/variables@2.0.0", &get("")).unwrap();
    links("spin:variables/variables@3.0.0", &get("async")).unwrap();
    let store = r#"
        (type $error-def (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $error-def)))
        (export "get" (func (param "key" string)
            (result (result (option string) (error $error)))))"#;
    links("wasi:config/store@0.2.0-draft-2024-09-27", store).unwrap();
}

#[test]
fn components_of_every_sdk_find_sqlite() {
    links("fermyon:spin/sqlite@2.0.0", SQLITE_TYPES).unwrap();
    links(
        "spin:sqlite/sqlite@3.0.0",
        &format!("{SQLITE_TYPES}{SQLITE_3_0}"),
    )
    .unwrap();
    let newest = format!("{SQLITE_TYPES}{SQLITE_3_0}{SQLITE_3_1}");
    links("spin:sqlite/sqlite@3.1.0", &newest).unwrap();
}

#[test]
fn components_of_every_sdk_find_key_value_stores() {
    let v2 = format!(
        r#"{STORE_TYPES}
        (export "[static]store.open" (func (param "label" string)
            (result (result (own $store) (error $error)))))
        (export "[method]store.get-keys" (func (param "self" (borrow $store))
            (result (result (list string) (error $error)))))"#
    );
    links("fermyon:spin/key-value@2.0.0", &v2).unwrap();
    let v3 = format!(
        r#"{STORE_TYPES}
        (export "[static]store.open" (func async (param "label" string)
            (result (result (own $store) (error $error)))))
        (export "[method]store.get-keys" (func async (param "self" (borrow $store))
            (result (tuple (stream string) (future (result (error $error)))))))"#
    );
    links("spin:key-value/key-value@3.0.0", &v3).unwrap();
    let wasi = r#"
        (export "bucket" (type $bucket (sub resource)))
        (type $error-def (variant (case "no-such-store") (case "access-denied")
            (case "other" string)))
        (export "error" (type $error (eq $error-def)))
        (export "open" (func (param "identifier" string)
            (result (result (own $bucket) (error $error)))))"#;
    links("wasi:keyvalue/store@0.2.0-draft2", wasi).unwrap();
}

#[test]
fn other_interfaces_and_other_functions_do_not_link() {
    let error = links("fermyon:spin/redis@2.0.0", r#"(export "get" (func))"#).unwrap_err();
    assert!(error.contains("fermyon:spin/redis@2.0.0"), "{error}");
    let error = links("spin:sqlite/sqlite@4.0.0", SQLITE_TYPES).unwrap_err();
    assert!(error.contains("spin:sqlite/sqlite@4.0.0"), "{error}");
    links("spin:variables/variables@3.0.0", r#"(export "set" (func))"#).unwrap_err();
}
