#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command line itself: help, mistakes, version, completion, doctor.
. tests/tap.sh

run "$WHERRY"
check "without a command it lists them and fails" status_is 125
check "the list names run" out_has "run a WebAssembly program"
run "$WHERRY" --help
check "--help succeeds" status_is 0
run "$WHERRY" help
check "help succeeds" status_is 0
for command in run compile inspect new doctor version help completion; do
    run "$WHERRY" "$command" --help
    check "$command --help" out_has "Usage: wherry $command"
    cp "$dir/out" "$dir/long"
    run "$WHERRY" help "$command"
    check "help $command is the same" cmp -s "$dir/long" "$dir/out"
done

run "$WHERRY" rnu x.wasm
check "a mistyped command" status_is 125 "did you mean 'run'?"
run "$WHERRY" hello.wasm
check "a file as command" status_is 125 "wherry run hello.wasm"
run "$WHERRY" run --memroy 5 x.wasm
check "a mistyped option" status_is 125 \
    "wherry run: unknown option '--memroy'; did you mean '--memory'? See 'wherry run --help'."
run "$WHERRY" run
check "run without a file" status_is 125 "FILE is missing"
run "$WHERRY" run --memory lots x.wasm
check "a bad size" status_is 125 "'lots' is not a size"
run "$WHERRY" help rnu
check "help for a mistyped command" status_is 125 "did you mean 'run'?"

run "$WHERRY" version
check "version" out_has "engine: Wasmtime"
run "$WHERRY" --version
check "--version" status_is 0
run "$WHERRY" version -o json
check "version as JSON" python3 -c \
    "import json; v = json.load(open('$dir/out')); assert v['version'] and v['engine']"
run "$WHERRY" version -o yaml
check "an unknown format" status_is 125 "not one of text, json"

for shell in bash zsh fish; do
    run "$WHERRY" completion "$shell"
    check "completion for $shell" out_has allow-net
done
run "$WHERRY" completion csh
check "completion for an unknown shell" status_is 125 "bash, zsh, fish"

# A helper folder of one's own, as git has it.
mkdir "$dir/exec"
printf '#!/bin/sh\necho "mine: $*"\nexit 7\n' >"$dir/exec/wherry-mine"
chmod +x "$dir/exec/wherry-mine"
run env WHERRY_EXEC_PATH="$dir/exec" "$WHERRY" mine a b
check "a command of one's own runs" out_has "mine: a b"
check "and gives its status" status_is 7
run env WHERRY_EXEC_PATH="$dir/exec" "$WHERRY" mien
check "and is suggested" status_is 125 "did you mean 'mine'?"
run env WHERRY_EXEC_PATH="$dir/exec" "$WHERRY" doctor
check "a helper that is missing" status_is 125 "wherry-doctor"

run "$WHERRY" doctor -o json
check "doctor as JSON names findings with their fixes" python3 -c "
import json
report = json.load(open('$dir/out'))
assert len(report['checks']) > 15
for c in report['checks']:
    assert c['status'] in ('ok', 'warn', 'fail') and c['why'] and c['detail']
    assert c['fix'] or c['status'] == 'ok', c"
mkdir -m 0777 "$dir/open"
chmod 0777 "$dir/open"
run "$WHERRY" doctor --cache-dir "$dir/open"
check "doctor refuses a cache folder that others may write to" status_is 1
check "and says how to repair it" out_has "chmod go-w '$dir/open'"
run "$WHERRY" doctor --cache-dir /proc/none
check "doctor sees a cache folder that cannot be made" out_has "cannot be made"

# A full standard output is an error and no success.
"$WHERRY" help >/dev/full 2>"$dir/err"
status=$?
check "output to a full device" status_is 125 "No space left"
finish
