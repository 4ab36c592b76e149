// SPDX-License-Identifier: Apache-2.0
//! What an artifact is and what it imports and exports, read from its bytes without compiling.

use crate::err::{Failure, Result};
use crate::ffi::c_string;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use wasmparser::{
    BinaryReaderError, Chunk, ComponentExternalKind, ComponentTypeRef, Encoding, Export,
    ExportSectionReader, ExternalKind, FuncType, FunctionSectionReader, Imports, Parser, Payload,
    RefType, TypeRef, ValType, Validator, WasmFeatures,
};

type ImportFn =
    extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char, *const c_char);
type ExportFn = extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char);

/// `struct engine_visitor`.
#[repr(C)]
pub struct Visitor {
    ctx: *mut c_void,
    import: Option<ImportFn>,
    export: Option<ExportFn>,
}

/// `enum engine_artifact`.
#[derive(Clone, Copy)]
pub enum Artifact {
    Module = 0,
    Component = 1,
}

impl Visitor {
    fn import(&self, space: Option<&str>, name: &str, kind: &str, ty: &str) {
        let Some(call) = self.import else { return };
        let space = space.map(c_string);
        let (name, kind, ty) = (c_string(name), c_string(kind), c_string(ty));
        let space_ptr = space.as_ref().map_or(std::ptr::null(), |s| s.as_ptr());
        call(self.ctx, space_ptr, name.as_ptr(), kind.as_ptr(), ty.as_ptr());
    }

    fn export(&self, name: &str, kind: &str, ty: &str) {
        let Some(call) = self.export else { return };
        let (name, kind, ty) = (c_string(name), c_string(kind), c_string(ty));
        call(self.ctx, name.as_ptr(), kind.as_ptr(), ty.as_ptr());
    }
}

impl From<BinaryReaderError> for Failure {
    fn from(e: BinaryReaderError) -> Self {
        invalid(e.offset(), e.message())
    }
}

fn invalid(offset: usize, what: &str) -> Failure {
    let text = format!("invalid WebAssembly at offset {offset:#x}: {what}");
    Failure::new(libc::ENOEXEC, c"InvalidWasm", text)
}

fn check_header(bytes: &[u8]) -> Result<()> {
    if !bytes.starts_with(b"\0asm") {
        let looks = match bytes {
            [] => "it is empty".to_string(),
            [0x7f, b'E', b'L', b'F', ..] => "it is a native ELF program".to_string(),
            [b'#', b'!', ..] => "it is a script".to_string(),
            [0x1f, 0x8b, ..] => "it is compressed by gzip; unpack it first".to_string(),
            [b'(', ..] => "it looks like the text format; assemble it first".to_string(),
            _ if bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
                "it is text".to_string()
            }
            _ => {
                let head: Vec<_> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
                format!("it begins with bytes {}, not 00 61 73 6d", head.join(" "))
            }
        };
        return Err(Failure::new(libc::ENOEXEC, c"NotWasm", format!("not WebAssembly: {looks}")));
    }
    match bytes.get(4..8) {
        None => Err(invalid(bytes.len(), "it ends inside the header")),
        Some([1, 0, 0, 0] | [0x0d, 0, 1, 0]) => Ok(()),
        Some(v) => Err(Failure::new(
            libc::ENOEXEC,
            c"UnknownWasmVersion",
            format!(
                "WebAssembly version {:02x} {:02x} {:02x} {:02x} at offset 0x4 is neither a module \
                 of version 1 nor a component of this engine's version",
                v[0], v[1], v[2], v[3]
            ),
        )),
    }
}

pub fn inspect(bytes: &[u8], validate: bool, v: &Visitor) -> Result<Artifact> {
    check_header(bytes)?;
    if validate {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        validator.validate_all(bytes)?;
    }
    walk(bytes, v)
}

/// The types and functions of a module seen so far, for the text of their types.
#[derive(Default)]
struct ModuleTypes<'a> {
    types: Vec<Option<FuncType>>,
    imported: Vec<u32>,                         // the type of each function
    defined: Option<FunctionSectionReader<'a>>, // the same, read no further than asked for
}

impl<'a> ModuleTypes<'a> {
    fn text(&self, type_index: u32) -> String {
        match self.types.get(type_index as usize) {
            Some(Some(f)) => {
                let list = |t: &[ValType]| t.iter().map(val).collect::<Vec<_>>().join(", ");
                match f.results() {
                    [] => format!("({})", list(f.params())),
                    [one] => format!("({}) -> {}", list(f.params()), val(one)),
                    many => format!("({}) -> ({})", list(f.params()), list(many)),
                }
            }
            _ => String::new(),
        }
    }

    /// The types of these functions, whose indices rise, as far as they are there. What follows
    /// the last of them is not read: a module of 50 MB has more than 100,000 functions.
    fn of_functions(&self, indices: &[u32]) -> Result<HashMap<u32, u32>> {
        let defined = self.defined.iter().flat_map(|d| d.clone());
        let mut all = (0..).zip(self.imported.iter().copied().map(Ok).chain(defined));
        let mut found = HashMap::new();
        for index in indices {
            let Some((_, ty)) = all.find(|(i, _)| i == index) else { break };
            found.insert(*index, ty?);
        }
        Ok(found)
    }

    fn visit_exports(&self, exports: ExportSectionReader<'a>, v: &Visitor) -> Result<()> {
        let exports = exports.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
        let mut indices: Vec<_> = exports.iter().filter_map(function_index).collect();
        indices.sort_unstable();
        indices.dedup();
        let types = self.of_functions(&indices)?;
        for e in &exports {
            let kind = match e.kind {
                ExternalKind::Func | ExternalKind::FuncExact => "func",
                ExternalKind::Table => "table",
                ExternalKind::Memory => "memory",
                ExternalKind::Global => "global",
                ExternalKind::Tag => "tag",
            };
            let ty = function_index(e).and_then(|i| types.get(&i));
            v.export(e.name, kind, &ty.map_or_else(String::new, |t| self.text(*t)));
        }
        Ok(())
    }

    fn add_import(&mut self, v: &Visitor, space: &str, name: &str, ty: TypeRef) {
        let (kind, text) = match ty {
            TypeRef::Func(i) | TypeRef::FuncExact(i) => {
                self.imported.push(i);
                ("func", self.text(i))
            }
            TypeRef::Table(_) => ("table", String::new()),
            TypeRef::Memory(m) => ("memory", format!("at least {} pages", m.initial)),
            TypeRef::Global(g) => ("global", val(&g.content_type)),
            TypeRef::Tag(_) => ("tag", String::new()),
        };
        v.import(Some(space), name, kind, &text);
    }
}

fn function_index(e: &Export<'_>) -> Option<u32> {
    matches!(e.kind, ExternalKind::Func | ExternalKind::FuncExact).then_some(e.index)
}

fn val(t: &ValType) -> String {
    match t {
        ValType::Ref(RefType::FUNCREF) => "funcref".into(),
        ValType::Ref(RefType::EXTERNREF) => "externref".into(),
        ValType::Ref(_) => "ref".into(),
        other => other.to_string(),
    }
}

/// Reads the top level only; bodies and nested modules are skipped by their length.
fn walk(bytes: &[u8], v: &Visitor) -> Result<Artifact> {
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    let mut artifact = Artifact::Module;
    let mut types = ModuleTypes::default();
    loop {
        let payload = match parser.parse(rest, true)? {
            Chunk::Parsed { consumed, payload } => {
                rest = &rest[consumed..];
                payload
            }
            Chunk::NeedMoreData(_) => unreachable!("the parser was given all there is"),
        };
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                artifact = Artifact::Component;
            }
            Payload::CodeSectionStart { size, range, .. } => {
                parser.skip_section();
                rest = skip(rest, size as usize, range.start)?;
            }
            Payload::ModuleSection { unchecked_range: r, .. }
            | Payload::ComponentSection { unchecked_range: r, .. } => {
                rest = skip(rest, r.len(), r.start)?;
            }
            Payload::End(_) => return Ok(artifact),
            other => section(other, &mut types, v)?,
        }
    }
}

fn skip(rest: &[u8], len: usize, offset: usize) -> Result<&[u8]> {
    rest.get(len..).ok_or_else(|| {
        let have = rest.len();
        invalid(offset, &format!("a section of {len} bytes is cut off after {have}"))
    })
}

fn section<'a>(payload: Payload<'a>, types: &mut ModuleTypes<'a>, v: &Visitor) -> Result<()> {
    match payload {
        Payload::TypeSection(groups) => {
            for group in groups {
                for ty in group?.into_types() {
                    let inner = ty.composite_type.inner;
                    types.types.push(match inner {
                        wasmparser::CompositeInnerType::Func(f) => Some(f),
                        _ => None,
                    });
                }
            }
        }
        Payload::ImportSection(imports) => {
            for group in imports {
                add_imports(group?, types, v)?;
            }
        }
        Payload::FunctionSection(functions) => types.defined = Some(functions),
        Payload::ExportSection(exports) => types.visit_exports(exports, v)?,
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                let i = import?;
                let kind = match i.ty {
                    ComponentTypeRef::Module(_) => "module",
                    ComponentTypeRef::Func(_) => "func",
                    ComponentTypeRef::Value(_) => "value",
                    ComponentTypeRef::Type(_) => "type",
                    ComponentTypeRef::Instance(_) => "instance",
                    ComponentTypeRef::Component(_) => "component",
                };
                v.import(None, i.name.name, kind, "");
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let e = export?;
                let kind = match e.kind {
                    ComponentExternalKind::Module => "module",
                    ComponentExternalKind::Func => "func",
                    ComponentExternalKind::Value => "value",
                    ComponentExternalKind::Type => "type",
                    ComponentExternalKind::Instance => "instance",
                    ComponentExternalKind::Component => "component",
                };
                v.export(e.name.name, kind, "");
            }
        }
        _ => {}
    }
    Ok(())
}

fn add_imports(group: Imports<'_>, types: &mut ModuleTypes<'_>, v: &Visitor) -> Result<()> {
    match group {
        Imports::Single(_, i) => types.add_import(v, i.module, i.name, i.ty),
        Imports::Compact1 { module, items } => {
            for item in items {
                let item = item?;
                types.add_import(v, module, item.name, item.ty);
            }
        }
        Imports::Compact2 { module, ty, names } => {
            for name in names {
                types.add_import(v, module, name?, ty);
            }
        }
    }
    Ok(())
}
