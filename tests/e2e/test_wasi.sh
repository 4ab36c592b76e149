#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every family of WASI functions as a module and as a component, the network, and the terminal.
. tests/tap.sh

guests=$PWD/build/guests
families="arguments clocks directories files polling random symlinks"
set -- "$guests/sockets.wasm" "$guests/tcp.component.wasm" "$guests/cat.wasm" "$guests/nop.wasm" \
    "$guests/args.wasm"
for name in $families; do
    set -- "$@" "$guests/$name.wasm" "$guests/$name.component.wasm"
done
if ! make -s -C tests/guests OUT="$guests" "$@" >"$dir/build.log" 2>&1; then
    cat "$dir/build.log" >&2
    not_ok "the guests build"
    finish
fi
# From here on: the cache of the tests is not the one of the machine.
XDG_CACHE_HOME=$dir/cache
export XDG_CACHE_HOME

# all_ok: the guest ended well, and each of its own checks did.
all_ok() { [ "$status" = 0 ] && out_has "ok " && ! out_has FAIL; }

# family FILE [ARG...]: runs it with a fresh folder, which it must leave empty.
family() {
    rm -rf "$dir/work"
    mkdir "$dir/work"
    file=$1
    shift
    run "$WHERRY" run --dir "$dir/work::/work" $options "$guests/$file.wasm" "$@"
}

for kind in "" .component; do
    for name in clocks directories files random symlinks; do
        family "$name$kind"
        check "$name$kind" all_ok
        check "$name$kind leaves nothing" sh -c "! ls -A '$dir/work' | grep -q ."
    done
    run "$WHERRY" run --env EMPTY= --env SPACED='two words' --env UTF8='äöü €😀' --env EQUALS=a=b \
        "$guests/arguments$kind.wasm" '' 'two words' 'äöü €😀' '--name=a=b' "quo'te\"s" ''
    check "arguments$kind" all_ok
    echo data >"$dir/in"
    rm -rf "$dir/work"
    mkdir "$dir/work"
    "$WHERRY" run -i --dir "$dir/work::/work" "$guests/polling$kind.wasm" data <"$dir/in" \
        >"$dir/out" 2>"$dir/err"
    status=$?
    check "polling$kind with input" all_ok
    # An input that stays open and silent.
    python3 - "$WHERRY" "$dir/work" "$guests/polling$kind.wasm" >"$dir/out" 2>"$dir/err" <<'P'
import os, subprocess, sys
wherry, work, guest = sys.argv[1:]
read, write = os.pipe()
sys.exit(subprocess.run([wherry, "run", "-i", "--dir", work + "::/work", guest, "idle"],
                        stdin=read).returncode)
P
    status=$?
    check "polling$kind without input" all_ok
done
family sockets
check "sockets" all_ok

# --- A folder for reading only ---
mkdir "$dir/ro"
echo kept >"$dir/ro/file"
for kind in "" .component; do
    run "$WHERRY" run --dir "$dir/ro::/work:ro" "$guests/files$kind.wasm"
    check "files$kind cannot write to a folder for reading" test "$status" -ne 0
    check "and nothing changed there" sh -c "[ \"\$(ls -A '$dir/ro')\" = file ]"
done

# --- The network ---
# server PORT_FILE: answers each line on 127.0.0.1 and ::1 with "got <line>" until it is killed.
cat >"$dir/server.py" <<'P'
import os, socket, socketserver, sys, threading
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"got " + self.rfile.readline())
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
class Server6(Server):
    address_family = socket.AF_INET6
s = Server(("127.0.0.1", 0), Answer)
try: # localhost may be either
    six = Server6(("::1", s.server_address[1]), Answer)
    threading.Thread(target=six.serve_forever, daemon=True).start()
except OSError:
    pass
with open(sys.argv[1] + ".new", "w") as f:
    f.write(str(s.server_address[1]))
os.rename(sys.argv[1] + ".new", sys.argv[1])
s.serve_forever()
P
mkfifo "$dir/started"
python3 - "$dir" <<'P' &
import subprocess, sys, time, os
d = sys.argv[1]
p = subprocess.Popen([sys.executable, d + "/server.py", d + "/port"])
while not os.path.exists(d + "/port"):
    time.sleep(0.01)
with open(d + "/started", "w") as f:
    f.write(str(p.pid))
P
server=$(cat "$dir/started")
trap 'kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
port=$(cat "$dir/port")
tcp() { run "$WHERRY" run "$@"; }
tcp "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "no network by default" status_is 3
check "and the guest is told so" out_has access-denied
tcp --allow-net "127.0.0.1:$port" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "a granted address" status_is 0
check "the answer arrives" out_has "got hi"
tcp --allow-net "127.0.0.0/8:*" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "a granted block" out_has "got hi"
tcp --allow-net "*:$port" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "any address" out_has "got hi"
tcp --allow-net "127.0.0.1:$((port + 1))" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "another port is denied" out_has access-denied
tcp --allow-net "127.0.0.2:$port" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "another address is denied" out_has access-denied
tcp --allow-net "localhost:$port" "$guests/tcp.component.wasm" "localhost:$port" hi
check "a granted name" out_has "got hi"
tcp --allow-net "localhost:$((port + 1))" "$guests/tcp.component.wasm" "localhost:$port" hi
check "a name with another port is denied" out_has access-denied
tcp --allow-net "127.0.0.1:$port" "$guests/tcp.component.wasm" "localhost:$port" hi
check "a name that was not granted" test "$status" = 3
tcp --allow-net "localhost:$port" "$guests/tcp.component.wasm" "127.0.0.1:$port" hi
check "a name's address is granted only through the name" out_has access-denied
tcp --allow-net 127.0.0.1 "$guests/tcp.component.wasm" x
check "a grant without a port" status_is 125 "--allow-net"

# --- What is shown ---
cat >"$dir/terminal.py" <<'P'
"""Runs a command with standard error on a terminal; prints what came there."""
import os, pty, subprocess, sys
master, slave = pty.openpty()
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave)
os.close(slave)
text = b""
try:
    while more := os.read(master, 4096):
        text += more
except OSError:
    pass
sys.stdout.write(text.decode("utf-8", "replace"))
sys.exit(p.wait())
P
# A function that keeps the compiler busy for longer than what is quick.
python3 tests/slow_module.py "$dir/slow.wasm" 400000
run "$WHERRY" run --no-cache "$dir/slow.wasm"
check "no progress without a terminal" test ! -s "$dir/err"
run python3 "$dir/terminal.py" "$WHERRY" run --no-cache "$dir/slow.wasm"
check "progress on a terminal" out_has "compiling slow.wasm"
run python3 "$dir/terminal.py" "$WHERRY" run -q --no-cache "$dir/slow.wasm"
check "none with -q" test ! -s "$dir/out"
run env -u NO_COLOR TERM=xterm python3 "$dir/terminal.py" "$WHERRY" run "$dir/nowhere.wasm"
grep -q "$(printf '\033')\\[" "$dir/out"
check "messages are coloured on a terminal" test $? = 0
run env NO_COLOR=1 TERM=xterm python3 "$dir/terminal.py" "$WHERRY" run "$dir/nowhere.wasm"
grep -q "$(printf '\033')\\[" "$dir/out"
check "not with NO_COLOR" test $? = 1
run "$WHERRY" run -v "$guests/args.wasm"
check "-v says that it compiles" err_has "compiled args.wasm"
find "$dir/cache" -type f | sort >"$dir/before"
run "$WHERRY" run -v "$guests/args.wasm"
check "the second run of the same bytes compiles nothing" \
    sh -c "grep -q 'in the cache' '$dir/err' && ! grep -q 'compiled args' '$dir/err'"
cp "$guests/args.wasm" "$dir/other-name.wasm"
run "$WHERRY" run -v "$dir/other-name.wasm"
check "nor does the same program of another name" err_has "in the cache"
find "$dir/cache" -type f | sort >"$dir/after"
check "and the cache is as it was" cmp -s "$dir/before" "$dir/after"

# --- Exports ---
run "$WHERRY" run --invoke fib "$guests/nop.wasm" 20
check "--invoke calls a function of a module" out_has 6765
run "$WHERRY" run --invoke add "$guests/nop.wasm" 1
check "too few arguments" test "$status" -ge 125
run "$WHERRY" run --invoke add "$guests/nop.wasm" 1 x
check "an argument of another type" test "$status" -ge 125
run "$WHERRY" run "$guests/nop.wasm"
check "a reactor needs --invoke, and its exports are named" status_is 126 "add"
finish
