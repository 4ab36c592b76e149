#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the embedding as src/engine/build_crate.sh builds the engine, in the same target folder and
# with the same flags, so that the dependencies are compiled once; prints the program's path.
set -eu
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/wherry/cargo}"
target=$(rustc -vV | sed -n 's/^host: //p')
cd "$(dirname "$0")"
# Other flags would compile every dependency a second time.
eval "$(grep '^export RUSTFLAGS=' ../../src/engine/build_crate.sh)"
cargo build --release --locked --quiet --target "$target" >&2
echo "$CARGO_TARGET_DIR/$target/release/embedding"
