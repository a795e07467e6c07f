//! `nokube compile`: the compiler in a process of its own, so that its memory goes with it and what
//! a tenant's module does to it stays there. [`super::cache`] is who starts it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use nokube_engine::{CompileError, Engine, EngineOptions};
use nokube_syscalls::Role;
use rustix::process::Resource;

use super::{confine, process};
use crate::args::CompileArgs;

/// The module is at fault; standard error says how.
pub(crate) const EXIT_INVALID: u8 = 3;

/// Heap of the compiler. Cranelift takes some hundred times a function's size; a 20 MiB component of
/// an interpreted language was seen to need below 1 GiB.
const MEMORY_BYTES: u64 = 3 << 30;
/// All threads together.
const CPU_SECONDS: u64 = 600;
/// A module's native code is a few times its size.
const OUTPUT_BYTES: u64 = 1 << 30;
const STANDARD: &str = "-";

/// The child. Its standard streams are all it needs once it has begun.
pub(crate) fn run_child(args: &CompileArgs) -> ExitCode {
    match compile(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Module(error)) => {
            let error = anyhow::Error::new(error);
            // The parent takes the reason from here.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::from(EXIT_INVALID)
        }
        Err(Fault::Other(error)) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

enum Fault {
    Module(CompileError),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn compile(args: &CompileArgs) -> Result<(), Fault> {
    // Nobody would take what it makes.
    if let Some(parent) = args.parent {
        process::die_with(parent)?;
    }
    let mut source: Box<dyn io::Read> = if is_standard(&args.source) {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(&args.source)?)
    };
    let mut target: Box<dyn io::Write> = if is_standard(&args.target) {
        Box::new(io::stdout())
    } else {
        Box::new(File::create(&args.target)?)
    };
    confine::no_new_privileges()?;
    confine::limit(Resource::Data, MEMORY_BYTES)?;
    confine::limit(Resource::Cpu, CPU_SECONDS)?;
    confine::limit(Resource::Fsize, OUTPUT_BYTES)?;
    // It opens nothing from here on. Where the kernel cannot hold that, the user id has to do.
    confine::restrict_files(&[], &[])?;
    confine::restrict_calls(Role::Compiler);
    // Requests come first.
    let _ = rustix::process::nice(5);
    let mut wasm = Vec::new();
    source.read_to_end(&mut wasm)?;
    let options = EngineOptions {
        max_instances: 1,
        ..EngineOptions::default()
    };
    let native = Engine::new(options)?
        .compile(&wasm)
        .map_err(Fault::Module)?;
    target.write_all(&native)?;
    target.flush()?;
    Ok(())
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}
