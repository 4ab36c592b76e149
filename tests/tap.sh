# SPDX-License-Identifier: Apache-2.0
# Sourced by shell tests: results as TAP. Each test gets a folder $dir that is removed at the end.
# shellcheck shell=sh
tap_number=0
tap_failed=0
WHERRY=${WHERRY:-$PWD/build/wherry}
dir=$(mktemp -d "${TMPDIR:-/tmp}/wherry-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT

ok() {
    tap_number=$((tap_number + 1))
    echo "ok $tap_number - $*"
}

not_ok() {
    tap_number=$((tap_number + 1))
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_number - $*"
}

skip() {
    tap_number=$((tap_number + 1))
    echo "ok $tap_number - $1 # SKIP $2"
}

# run COMMAND...: status in $status, output in $dir/out and $dir/err.
run() {
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    status=$?
}

# check NAME TEST...: a result from the status of a command; shows what ran last when it fails.
check() {
    check_name=$1
    shift
    if "$@"; then
        ok "$check_name"
    else
        not_ok "$check_name"
        echo "# failed: $*; last status $status; output:" >&2
        head -c 2000 "$dir/out" >&2
        head -c 2000 "$dir/err" >&2
    fi
}

out_has() { grep -qF -- "$1" "$dir/out"; }
err_has() { grep -qF -- "$1" "$dir/err"; }

# status_is N [TEXT ON STDERR]
status_is() { [ "$status" -eq "$1" ] && { [ $# -lt 2 ] || err_has "$2"; }; }

finish() {
    echo "1..$tap_number"
    [ "$tap_failed" -eq 0 ]
    exit
}
