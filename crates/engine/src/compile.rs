//! WebAssembly to native code, ahead of time. `nokube compile` does this in a process of its own, so that the
//! compiler's memory goes with it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Engine;

/// Why a component could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A WebAssembly module, not a component.
    #[error(
        "this is a WebAssembly module, not a component: build it for the target wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    Module,
    /// Not WebAssembly, or using what this engine does not have.
    #[error("the component is not valid")]
    Invalid(#[source] wasmtime::Error),
    /// A file could not be read or written.
    #[error("{path} cannot be {verb}")]
    Io {
        /// Which file.
        path: String,
        /// `read` or `written`.
        verb: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl Engine {
    /// Names what compiled modules can be loaded by: the same for every process of one version of this program on one
    /// kind of machine, so that it can be part of a cache's key. What it misses is found when a module is loaded.
    pub fn compatibility(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Native code for the component `wasm` (binary or text), to be kept in a `.cwasm` file.
    ///
    /// # Errors
    ///
    /// When `wasm` is not a component this engine can run.
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
        // The binary format's second word: version 1, layer 0 is a module; layer 1 a component.
        if wasm.starts_with(b"\0asm\x01\0\0\0") {
            return Err(CompileError::Module);
        }
        self.wasmtime()
            .precompile_component(wasm)
            .map_err(CompileError::Invalid)
    }

    /// Compiles the file `source` to `target`, which appears whole (with mode 0644) or not at all, a power cut
    /// included.
    ///
    /// # Errors
    ///
    /// As [`Engine::compile`], or when a file cannot be read or written.
    pub fn compile_file(&self, source: &Path, target: &Path) -> Result<(), CompileError> {
        let wasm = std::fs::read(source).map_err(|error| CompileError::Io {
            path: source.display().to_string(),
            verb: "read",
            source: error,
        })?;
        let native = self.compile(&wasm)?;
        write_whole(target, &native).map_err(|error| CompileError::Io {
            path: target.display().to_string(),
            verb: "written",
            source: error,
        })
    }
}

fn write_whole(target: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = target
        .parent()
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    // Readable for the tenants' process, which has another user id; the folder says who gets that far.
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
