// SPDX-License-Identifier: Apache-2.0

//! `componentize MODULE WIT OUTPUT` makes a WASI 0.2 command of a WASI 0.1 one, which may import, beside
//! WASI 0.1, what the WIT file's only world imports. WASI 0.1 is then carried out by Wasmtime's adapter.

use std::{env, fs, process};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, wit, output] = &arguments[..] else {
        eprintln!("usage: componentize MODULE WIT OUTPUT");
        process::exit(2);
    };

    let mut code = fs::read(module).unwrap_or_else(|e| fail(module, e));
    let mut types = Resolve::default();
    let component = types
        .push_path(wit)
        .and_then(|(package, _)| types.select_world(&[package], None))
        .and_then(|world| embed_component_metadata(&mut code, &types, world, StringEncoding::UTF8))
        .and_then(|()| ComponentEncoder::default().validate(true).module(&code))
        .and_then(|encoder| encoder.adapter(ADAPTER_NAME, ADAPTER))
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|e| fail(module, format!("{e:#}")));
    fs::write(output, component).unwrap_or_else(|e| fail(output, e));
}

fn fail<T>(file: &str, why: impl std::fmt::Display) -> T {
    eprintln!("componentize: {file}: {why}");
    process::exit(1);
}
