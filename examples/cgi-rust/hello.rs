// SPDX-License-Identifier: Apache-2.0

//! Answers one HTTP request the way of CGI: the request comes in variables and on stdin, and what
//! goes to stdout is a head, an empty line and the body.

use std::env;
use std::io::{self, Read, Write};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn main() -> io::Result<()> {
    let query = variable("QUERY_STRING");
    let name = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("name="))
        .unwrap_or("world");
    let method = variable("REQUEST_METHOD");
    let path = variable("PATH_INFO");
    let mut body = String::new();
    let mut out = io::stdout().lock();

    io::stdin().read_to_string(&mut body)?;
    write!(out, "Content-Type: text/plain; charset=utf-8\n\n")?;
    writeln!(out, "Hello from Rust, {name}!")?;
    writeln!(out, "{method} {path}")?;
    if !body.is_empty() {
        writeln!(out, "{} bytes came with it: {body:?}", body.len())?;
    }
    Ok(())
}
