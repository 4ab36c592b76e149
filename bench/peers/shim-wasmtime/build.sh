#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the peer's shim in a target folder of its own, since its features and flags are not the
# engine's; prints the folder that it is in.
set -eu
cache="${XDG_CACHE_HOME:-$HOME/.cache}/wherry"
export CARGO_TARGET_DIR="$cache/cargo-peers"
cd "$(dirname "$0")"
# For the crates containerd-client and libseccomp.
../../../tools/deps protobuf-compiler libseccomp-dev >&2
cargo build --release --locked --quiet >&2
echo "$CARGO_TARGET_DIR/release"
