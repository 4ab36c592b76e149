// SPDX-License-Identifier: Apache-2.0

//! A greeting: it reads arguments and an environment variable, and gives back a status.

use std::env;
use std::process::exit;

fn main() {
    let greeting = env::var("GREETING").unwrap_or_else(|_| "Hello".to_string());
    let mut names = Vec::new();
    let mut status: u8 = 0;

    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--exit" {
            status = match args.next().and_then(|text| text.parse().ok()) {
                Some(value) => value,
                None => {
                    eprintln!("hello: --exit takes a status from 0 to 255");
                    exit(2);
                }
            };
        } else {
            names.push(arg);
        }
    }

    let comma = if names.is_empty() { "" } else { ", " };
    println!("{greeting} from Rust{comma}{}", names.join(" "));
    // Not by std::process::ExitCode, which knows 0 and 1 only for this target in Rust 1.63.
    exit(status.into());
}
