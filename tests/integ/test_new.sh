#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `wherry new`: refuses what it should, and what it writes builds and runs. C and Go always, the
# others (they download their tool chain) with WHERRY_NEW_ALL=1, which tests/slow/ sets.
. tests/tap.sh

run "$WHERRY" new perl "$dir/x"
check "an unknown language" status_is 125 "not one of c, go, js, python, rust"
run "$WHERRY" new pyhton "$dir/x"
check "a mistyped language" status_is 125 "did you mean 'python'?"
mkdir "$dir/full"
touch "$dir/full/kept"
run "$WHERRY" new c "$dir/full"
check "a folder that is not empty" status_is 125 "not empty"
check "nothing was written there" test "$(ls -A "$dir/full")" = kept
mkdir "$dir/empty"
run "$WHERRY" new c "$dir/empty"
check "an empty folder is taken" status_is 0
run "$WHERRY" new c "$dir/a/b/My_Project 1"
check "parents are made" status_is 0
check "the name is tame" grep -q '^my-project-1.wasm:' "$dir/a/b/My_Project 1/Makefile"

# try LANGUAGE WORD TOOL...: builds and runs a new project if the tools are there.
try() {
    language=$1 word=$2
    shift 2
    for tool; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            skip "a new $language project builds" "no $tool"
            return
        fi
    done
    run "$WHERRY" new "$language" "$dir/my-$language"
    check "new $language names the next commands" out_has "wherry run $dir/my-$language/my-$language.wasm"
    run make -C "$dir/my-$language"
    check "a new $language project builds" test -s "$dir/my-$language/my-$language.wasm"
    run "$WHERRY" run "$dir/my-$language/my-$language.wasm" Ada
    check "a new $language project runs" out_has "Hello from $word"
}

try c C clang-14 wasm-ld-14
try go Go go
if [ "${WHERRY_NEW_ALL:-0}" = 1 ]; then
    try js JavaScript node npm
    try python Python python3
    if [ -d /usr/lib/rustlib/wasm32-wasi ] || rustc --print target-libdir --target wasm32-wasip1 \
        2>/dev/null | xargs test -d; then
        try rust Rust make
    else
        skip "a new rust project builds" "no Rust compiler with a WASI target"
    fi
fi
finish
