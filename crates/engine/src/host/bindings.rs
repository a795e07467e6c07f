//! Bindings of the world `nokube:platform/spin-imports` (`wit/world.wit`).
//!
//! Functions that are synchronous in WIT are `async` here: the guest waits in its own fiber while the host works. The
//! versions of one interface share their resource types, so that one table serves all of them.

#[expect(
    missing_docs,
    reason = "generated from the documents in wit/, which hold the explanations"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "nokube:platform/spin-imports",
        imports: { default: async },
        require_store_data_send: true,
        with: {
            "fermyon:spin/sqlite@2.0.0.connection": crate::host::sqlite::Connection,
            "spin:sqlite/sqlite.connection": crate::host::sqlite::Connection,
            "fermyon:spin/key-value@2.0.0.store": crate::host::key_value::OpenStore,
            "spin:key-value/key-value.store": crate::host::key_value::OpenStore,
            "wasi:keyvalue/store.bucket": crate::host::key_value::OpenStore,
            "wasi:keyvalue/atomics.cas": crate::host::key_value::Cas,
        },
    });
}

pub use self::generated::fermyon::spin as spin_v2;
pub use self::generated::spin as spin_v3;
pub use self::generated::wasi;
