#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: build_crate.sh CRATE_DIR OUTPUT. Builds the engine crate as a static library.
set -eu
crate=$1 output=$(realpath "$2")
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/wherry/cargo}"
# An explicit target keeps the flags away from procedural macros, which must stay dynamic.
target=$(rustc -vV | sed -n 's/^host: //p')
# The static program cannot look the system call's wrapper up by dlsym(), without which the crate
# getrandom would open /dev/urandom, and an empty root has none.
export RUSTFLAGS="-C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\""
cd "$crate"
cargo build --release --locked --quiet --target "$target"
made="$CARGO_TARGET_DIR/$target/release/libwherry_engine.a"
cmp -s "$made" "$output" || cp "$made" "$output"
