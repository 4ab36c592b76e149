#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `wherry run` as a user sees it: what a guest gets, how it ends, and every exit status.
. tests/tap.sh

guests=$PWD/build/guests
build_log=$dir/build.log
for name in args cat divzero escape exitcode fds flood grow loop recurse sleep trap nop; do
    set -- "$@" "$guests/$name.wasm"
done
if ! make -s -C tests/guests OUT="$guests" "$@" >"$build_log" 2>&1; then
    cat "$build_log" >&2
    not_ok "the guests build"
    finish
fi
# From here on: the cache of the tests is not the one of the machine.
XDG_CACHE_HOME=$dir/cache
export XDG_CACHE_HOME

# reason_is WORD STATUS GUEST'S: what --status-file tells.
reason_is() {
    python3 - "$dir/status" "$@" <<'P'
import json, sys
path, reason, status, own = sys.argv[1:]
s = json.load(open(path))
assert (s["reason"], s["exit_code"], s["guest_exit"]) == (reason, int(status), own == "own"), s
P
}

guest() {
    rm -f "$dir/status"
    file=$1
    shift
    run "$WHERRY" run --status-file "$dir/status" $options "$guests/$file.wasm" "$@"
}
options=

# --- What a guest gets ---
guest args one "two words" --three
check "arguments arrive" out_has "two words"
check "options behind FILE are the guest's" out_has "--three"
check "no environment by default" sh -c "! grep -q PATH= '$dir/out'"
options="--env A=1 --env B="
guest args
check "variables arrive" out_has "A=1"
printf 'FROM_FILE=yes\nA=file\n' >"$dir/env"
options="--env-file $dir/env --env A=option"
guest args
check "variables of a file arrive" out_has "FROM_FILE=yes"
check "--env is stronger than --env-file" out_has "A=option"
options=
echo "some input" >"$dir/in"
"$WHERRY" run "$guests/cat.wasm" <"$dir/in" >"$dir/out" 2>"$dir/err"
status=$?
check "standard input is empty without -i" test ! -s "$dir/out"
"$WHERRY" run -i "$guests/cat.wasm" <"$dir/in" >"$dir/out" 2>"$dir/err"
status=$?
check "-i passes standard input" out_has "some input"
head -c 3000000 /dev/urandom >"$dir/random"
"$WHERRY" run -i "$guests/cat.wasm" <"$dir/random" >"$dir/out" 2>"$dir/err"
check "3 MB through a guest arrive unchanged" cmp -s "$dir/random" "$dir/out"

# --- Statuses of the guest ---
for code in 0 1 3 124 125 126 127 134 137 255; do
    guest exitcode "$code"
    check "the guest's status $code" status_is "$code"
    word=Error
    [ "$code" != 0 ] || word=Completed
    check "the status file says that $code is the guest's own" reason_is "$word" "$code" own
done

# --- Ends that are not the guest's ---
guest trap
check "a trap" status_is 134
check "a trap in the status file" reason_is Trap 134 ours
guest divzero
check "a division by zero" status_is 134
guest recurse
check "recursion without end" status_is 134
options="--timeout 300ms"
guest loop
check "a deadline ends a loop" status_is 124
check "a deadline in the status file" reason_is DeadlineExceeded 124 ours
guest sleep 10
check "a deadline ends a sleep" status_is 124
options="--memory 16Mi"
guest grow
check "a guest that handles a refused growth keeps its status" status_is 7
check "and that is its own" reason_is Error 7 own
guest grow trap
check "a trap after a refused growth" status_is 137
check "and is OOMKilled" reason_is OOMKilled 137 ours
options=

# signal NAME STATUS: a guest that has begun to write is sent the signal. A shell starts background
# jobs with SIGINT ignored; Python restores it.
signal() {
    rm -f "$dir/status"
    python3 - "$1" "$WHERRY" "$dir/status" "$guests/flood.wasm" >"$dir/out" 2>"$dir/err" <<'P'
import signal, subprocess, sys
name, wherry, status, guest = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_DFL)
p = subprocess.Popen([wherry, "run", "--status-file", status, guest, "100000000000"],
                     stdout=subprocess.PIPE)
p.stdout.read(64)
p.send_signal(getattr(signal, name))
sys.exit(p.wait(60))
P
    status=$?
    check "$1 ends the guest" status_is "$2"
    check "$1 in the status file" reason_is Stopped "$2" ours
}
signal SIGINT 130
signal SIGTERM 143

# --- What cannot be run ---
guest nowhere
check "a file that is not there" status_is 127 "nowhere.wasm"
check "and the status file" reason_is NotFound 127 ours
run "$WHERRY" run "$dir"
check "a folder" status_is 126 "is a folder"
echo "plain text" >"$dir/text.wasm"
run "$WHERRY" run "$dir/text.wasm"
check "a text file" status_is 126
: >"$dir/empty.wasm"
run "$WHERRY" run "$dir/empty.wasm"
check "an empty file" status_is 126 "is empty"
head -c "$(($(wc -c <"$guests/cat.wasm") / 2))" "$guests/cat.wasm" >"$dir/cut.wasm"
run "$WHERRY" run "$dir/cut.wasm"
check "a truncated module" status_is 126
(printf '\0asm\1\0\0\0'; head -c 5000 /dev/urandom) >"$dir/random.wasm"
run "$WHERRY" run "$dir/random.wasm"
check "random bytes behind a header" status_is 126
run "$WHERRY" run --invoke nothing "$guests/nop.wasm"
check "an export that is not there" status_is 126 nothing
run "$WHERRY" run --invoke add "$guests/nop.wasm" 40 2
check "--invoke prints the result" out_has 42
run "$WHERRY" run --dir "$dir/none::/work" "$guests/args.wasm"
check "a folder that is not there" status_is 125 "$dir/none"
run "$WHERRY" run --env-file "$dir/none" "$guests/args.wasm"
check "an environment file that is not there" status_is 125 "$dir/none"

# --- Containment ---
mkdir -p "$dir/box/work"
echo secret >"$dir/box/secret"
ln -s .. "$dir/box/work/up"
ln -s /etc "$dir/box/work/etc"
options="--dir $dir/box/work::/work"
guest escape
check "a guest cannot leave its folder" status_is 0
check "and says so" out_has contained
"$WHERRY" run $options "$guests/escape.wasm" swap 20000 >/dev/null 2>&1 &
guest escape try 20000
check "nor by a rename race" out_has contained
wait
options="--dir $dir/box/work::/work --max-descriptors 50"
guest fds
# Either the call fails inside the guest, or the guest is ended; never does it get more.
check "a guest cannot open more than it may" \
    sh -c "grep -q 'errno' '$dir/out' || { [ $status = 134 ] && grep -q DescriptorLimit '$dir/err'; }"
options=

# --- The cache ---
rm -rf "$dir/cache"
run "$WHERRY" run "$guests/args.wasm"
first=$(find "$dir/cache" -type f | wc -l)
run "$WHERRY" run "$guests/args.wasm"
check "the first run fills the cache" test "$first" -gt 0
check "the second adds nothing" test "$(find "$dir/cache" -type f | wc -l)" -eq "$first"
run "$WHERRY" run --no-cache "$guests/exitcode.wasm" 0
check "--no-cache keeps nothing" test "$(find "$dir/cache" -type f | wc -l)" -eq "$first"
run "$WHERRY" compile "$guests/cat.wasm"
check "compile fills the cache" test "$(find "$dir/cache" -type f | wc -l)" -gt "$first"
run "$WHERRY" compile "$dir/text.wasm"
check "compile refuses a text file" status_is 126
run "$WHERRY" inspect "$guests/cat.wasm"
check "inspect names the contract" out_has "WASI 0.1 command"
run "$WHERRY" inspect -o json "$guests/cat.wasm"
check "inspect as JSON" python3 -c "import json; json.load(open('$dir/out'))"
finish
