#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: componentize.sh MODULE WIT OUTPUT. Builds the program beside it, where that is due, and runs it.
set -eu
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/wherry/cargo}"
exec cargo run --quiet --locked --manifest-path "$(dirname "$0")/Cargo.toml" -- "$@"
