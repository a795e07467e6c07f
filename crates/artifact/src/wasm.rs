//! What is known of a WebAssembly file before it runs.

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{
    BinaryReader, ComponentExportSectionReader, ComponentImportSectionReader, Encoding, Parser,
    Payload, Validator, WasmFeatures,
};
use wit_component::ComponentEncoder;

/// Interfaces by which a component answers HTTP requests: their names begin so.
const HTTP_EXPORTS: [&str; 3] = [
    "wasi:http/incoming-handler@",
    "wasi:http/handler@",
    "fermyon:spin/inbound-http",
];

/// How a component begins (component model, `Binary.md`): the version is 13 and the layer 1.
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";
/// Numbers of its sections.
const IMPORTS: u8 = 10;
const EXPORTS: u8 = 11;
/// Bytes of all names that a file may have to be looked into.
const MOST_NAMES_BYTES: u32 = 4 << 20;

/// Why a file can't be a component of an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WasmError {
    /// Not WebAssembly.
    #[error("this is not a WebAssembly file")]
    NotWasm,
    /// WebAssembly, but broken.
    #[error("this is not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// A core module without the component model.
    #[error(
        "this is not a WebAssembly component but a core module{0}: build it for wasm32-wasip2, or with wit-bindgen"
    )]
    PlainModule(&'static str),
    /// A core module that does not become a component.
    #[error("this core module can't be made a component: {0}")]
    NotComponentizable(String),
}

/// What a component has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentInfo {
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
}

impl ComponentInfo {
    /// Whether it answers HTTP requests.
    #[must_use]
    pub fn serves_http(&self) -> bool {
        self.exports
            .iter()
            .any(|name| HTTP_EXPORTS.iter().any(|known| name.starts_with(known)))
    }
}

/// Checks that bytes are a valid component, or makes one of a core module that was built with
/// `wit-bindgen` (by the adapter for WASI preview 1), as Spin does when it loads it.
///
/// # Errors
/// [`WasmError`].
pub fn componentize(bytes: &[u8]) -> Result<Cow<'_, [u8]>, WasmError> {
    match encoding(bytes)? {
        Encoding::Component => {
            validate(bytes)?;
            Ok(Cow::Borrowed(bytes))
        }
        Encoding::Module => {
            if let Some(remark) = plain_module(bytes)? {
                return Err(WasmError::PlainModule(remark));
            }
            let component = ComponentEncoder::default()
                .validate(true)
                .module(bytes)
                .and_then(|encoder| {
                    encoder.adapter(
                        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
                    )
                })
                .and_then(|mut encoder| encoder.encode())
                .map_err(|error| WasmError::NotComponentizable(format!("{error:#}")))?;
            Ok(Cow::Owned(component))
        }
    }
}

/// What a component imports and exports. The bytes are not validated.
///
/// # Errors
/// [`WasmError`] when they are no component.
pub fn inspect(bytes: &[u8]) -> Result<ComponentInfo, WasmError> {
    if encoding(bytes)? != Encoding::Component {
        return Err(WasmError::PlainModule(""));
    }
    let invalid = |error: wasmparser::BinaryReaderError| WasmError::Invalid(error.to_string());
    let mut info = ComponentInfo::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            // Modules and components inside have sections of their own.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    info.imports
                        .push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    info.exports
                        .push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(info)
}

/// The same of a file, of which no more is read than the names: code and data are passed over. None when it is no
/// component, or says so much that it is none anybody made.
///
/// # Errors
/// What the file system says.
pub fn inspect_file(file: impl Read + Seek) -> io::Result<Option<ComponentInfo>> {
    match inspect_sections(file) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        outcome => outcome,
    }
}

fn inspect_sections(mut file: impl Read + Seek) -> io::Result<Option<ComponentInfo>> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if magic != COMPONENT {
        return Ok(None);
    }
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = file.seek(SeekFrom::Start(8))?;
    let mut info = ComponentInfo::default();
    let mut room = MOST_NAMES_BYTES;
    // Each section is its number, its size and its content.
    while at < end {
        let number = byte(&mut file)?;
        let Some(size) = leb128(&mut file)? else {
            return Ok(None);
        };
        let content = file.stream_position()?;
        at = content.saturating_add(size.into());
        if at > end {
            return Ok(None);
        }
        if number == IMPORTS || number == EXPORTS {
            let Some(left) = room.checked_sub(size) else {
                return Ok(None);
            };
            room = left;
            let mut bytes = Vec::new();
            file.by_ref().take(size.into()).read_to_end(&mut bytes)?;
            if names(number, &bytes, &mut info).is_err() {
                return Ok(None);
            }
        }
        file.seek(SeekFrom::Start(at))?;
    }
    Ok(Some(info))
}

fn names(
    number: u8,
    bytes: &[u8],
    info: &mut ComponentInfo,
) -> Result<(), wasmparser::BinaryReaderError> {
    let reader = BinaryReader::new(bytes, 0);
    if number == IMPORTS {
        for import in ComponentImportSectionReader::new(reader)? {
            info.imports.push(import?.name.name.to_owned());
        }
    } else {
        for export in ComponentExportSectionReader::new(reader)? {
            info.exports.push(export?.name.name.to_owned());
        }
    }
    Ok(())
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// A `u32` as the WebAssembly specification writes it (binary format, "Integers").
fn leb128(from: &mut impl Read) -> io::Result<Option<u32>> {
    let mut number = 0_u64;
    for shift in [0, 7, 14, 21, 28] {
        let byte = byte(from)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(u32::try_from(number).ok());
        }
    }
    Ok(None)
}

fn encoding(bytes: &[u8]) -> Result<Encoding, WasmError> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        _ => Err(WasmError::NotWasm),
    }
}

fn validate(bytes: &[u8]) -> Result<(), WasmError> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(bytes)
        .map(|_| ())
        .map_err(|error| WasmError::Invalid(error.to_string()))
}

/// A remark about a module that says nothing about component interfaces; `None` when it does.
fn plain_module(bytes: &[u8]) -> Result<Option<&'static str>, WasmError> {
    let mut remark = "";
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| WasmError::Invalid(error.to_string()))? {
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                return Ok(None);
            }
            Payload::ExportSection(exports)
                if exports
                    .clone()
                    .into_iter()
                    .flatten()
                    .any(|e| e.name == "_start") =>
            {
                remark = " with a `_start` function, which is a program and not a server";
            }
            _ => {}
        }
    }
    Ok(Some(remark))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn a_component_stays_as_it_is_and_says_what_it_has() {
        let bytes = wat(r#"(component
            (core module)
            (import "wasi:cli/environment@0.2.0" (instance))
            (component (import "inner" (func)))
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#);
        assert_eq!(componentize(&bytes).unwrap(), bytes);
        let info = inspect(&bytes).unwrap();
        assert_eq!(
            inspect_file(Cursor::new(&bytes)).unwrap().as_ref(),
            Some(&info)
        );
        assert_eq!(info.imports, ["wasi:cli/environment@0.2.0"]);
        assert_eq!(info.exports, ["wasi:http/incoming-handler@0.2.0"]);
        assert!(info.serves_http());
        assert!(!inspect(&wat("(component)")).unwrap().serves_http());
    }

    #[test]
    fn of_a_file_no_more_is_read_than_the_names() {
        struct Counted(Cursor<Vec<u8>>, usize);
        impl Read for Counted {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read(into)?;
                self.1 += read;
                Ok(read)
            }
        }
        impl Seek for Counted {
            fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
                self.0.seek(to)
            }
        }
        let bytes = wat(&format!(
            r#"(component
            (core module (memory 200) (data (i32.const 0) "{}"))
            (import "wasi:http/types@0.3.0" (instance))
            (component (import "inner" (func))))"#,
            "x".repeat(1 << 20)
        ));
        let mut file = Counted(Cursor::new(bytes.clone()), 0);
        let info = inspect_file(&mut file).unwrap().unwrap();
        assert_eq!(info, inspect(&bytes).unwrap());
        assert_eq!(info.imports, ["wasi:http/types@0.3.0"]);
        assert!(file.1 < 200, "{}", file.1);
        // What is cut off, or is no component, has no names, and no more is read for it either.
        for bytes in [
            &bytes[..bytes.len() - 1],
            &bytes[..20],
            b"",
            b"#!/bin/sh\n",
            &wat("(module)"),
        ] {
            assert_eq!(inspect_file(Cursor::new(bytes)).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_component_is_said_plainly() {
        assert_eq!(componentize(b""), Err(WasmError::NotWasm));
        assert_eq!(componentize(b"#!/bin/sh\n"), Err(WasmError::NotWasm));
        let error = componentize(&wat("(module)")).unwrap_err().to_string();
        assert!(
            error.starts_with("this is not a WebAssembly component"),
            "{error}"
        );
        let program = wat(r#"(module (func (export "_start")))"#);
        let error = componentize(&program).unwrap_err().to_string();
        assert!(error.contains("_start"), "{error}");
        let mut broken = wat(r#"(component (core module (func)))"#);
        let end = broken.len() - 1;
        broken[end] = 0xff;
        assert!(matches!(componentize(&broken), Err(WasmError::Invalid(_))));
    }

    #[test]
    fn a_module_of_wit_bindgen_becomes_a_component_through_the_adapter() {
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve
            .push_str(
                "test.wit",
                "package test:test; interface answer { get: func() -> u32; } world w { export answer; }",
            )
            .unwrap();
        let world = resolve.select_world(&[package], Some("w")).unwrap();
        // It imports WASI preview 1, as a module of wasm32-wasip1 does.
        let mut module = wat(r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "test:test/answer#get") (result i32) (call $exit (i32.const 1)) i32.const 42))"#);
        let encoding = wit_component::StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
        let component = componentize(&module).unwrap();
        let info = inspect(&component).unwrap();
        assert_eq!(info.exports, ["test:test/answer"]);
        assert!(
            info.imports
                .iter()
                .any(|name| name.starts_with("wasi:cli/exit@0.2"))
        );
    }
}
