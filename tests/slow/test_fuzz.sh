#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each fuzz target for a while, each time from its own kept corpus.
set -u
seconds=${WHERRY_FUZZ_SECONDS:-30}
[ -f build/fuzz/build.ninja ] ||
    CC=clang-14 meson setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false -Dfake_engine=true >&2 || exit 1
ninja -C build/fuzz >&2 || exit 1

number=0
for target in build/fuzz/tests/fuzz/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    number=$((number + 1))
    name=$(basename "$target")
    mkdir -p "build/corpus/$name"
    seeds="tests/fuzz/seeds_${name#fuzz_}.py"
    [ ! -x "$seeds" ] || "$seeds" "build/corpus/$name" || exit 1
    if UBSAN_OPTIONS=halt_on_error=1 "$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -artifact_prefix="build/corpus/$name." "build/corpus/$name" >"build/corpus/$name.log" 2>&1; then
        echo "ok $number - $name for $seconds s"
    else
        tail -40 "build/corpus/$name.log" >&2
        echo "not ok $number - $name"
    fi
done
echo "1..$number"
