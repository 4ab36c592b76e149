#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh TARGET OUTPUT: compiles CoreMark with Debian's rustc, the only one here that has a library
# for WebAssembly. It is older than the crate expects: the crate's edition is given by hand, and the
# one name that its prelude lacks is spelt out in a copy.
set -eu
cd "$(dirname "$0")"
target=$1 output=$(realpath -m "$2")
rustc=${RUSTC:-/usr/bin/rustc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo fetch --locked --quiet
manifest=$(cargo metadata --locked --offline --format-version 1 |
    python3 -c 'import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "coremark"))')
cp "$(dirname "$manifest")"/src/*.rs "$work"
sed -i 's/\bsize_of::</core::mem::size_of::</g' "$work"/*.rs
export COREMARK_RUSTC_VERSION=debian COREMARK_PROFILE=release COREMARK_TARGET="$target"
$rustc --edition 2021 -C opt-level=3 --target "$target" --crate-type lib --crate-name coremark \
    -o "$work/libcoremark.rlib" "$work/lib.rs"
$rustc --edition 2021 -C opt-level=3 -C strip=symbols --target "$target" \
    --extern coremark="$work/libcoremark.rlib" -o "$output" src/main.rs
