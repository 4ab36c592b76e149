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
for command in run serve compile inspect new doctor version help completion; do
    run "$WHERRY" "$command" --help
    check "$command --help" out_has "Usage: wherry $command"
    cp "$dir/out" "$dir/long"
    run "$WHERRY" help "$command"
    check "help $command is the same" cmp -s "$dir/long" "$dir/out"
done

run "$WHERRY" help system
check "help of a group lists its commands" out_has "examine the image store"
cp "$dir/out" "$dir/long"
run "$WHERRY" system --help
check "system --help is the same" cmp -s "$dir/long" "$dir/out"
run "$WHERRY" help system check
check "help of a command of a group" out_has "Usage: wherry system check"
run "$WHERRY" system chekc
check "a mistyped command of a group" status_is 125 "did you mean 'system check'?"

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

# What `serve` can refuse by itself.
printf 'x' >"$dir/x.wasm"
run "$WHERRY" serve
check "serve without a program" status_is 125 "wherry: serve: FILE is missing"
run "$WHERRY" serve a.wasm b.wasm
check "serve with two programs" status_is 125 "unexpected argument 'b.wasm'"
run "$WHERRY" serve --listen 127.0.0.1 "$dir/x.wasm"
check "serve on an address without a port" status_is 125 "write 127.0.0.1:8080"
run "$WHERRY" serve --listen ::1:80 "$dir/x.wasm"
check "serve on IPv6 without brackets" status_is 125 "[::1]:8080"
run "$WHERRY" serve --listen 8080 --metrics :8080 "$dir/x.wasm"
check "serve with figures on the same port" status_is 125 "leave one of them out"
run "$WHERRY" serve --route api=x.wasm
check "serve with a route that is no path" status_is 125 "does not begin with '/'"
run "$WHERRY" serve --route /a="$dir/x.wasm" --route /a/="$dir/y.wasm"
check "serve with one path for two programs" status_is 125 "the path /a has two programs"
run "$WHERRY" serve --host a.example:80="$dir/x.wasm"
check "serve with a port in a host" status_is 125 "leave the port out"
run "$WHERRY" serve --name both --route /a="$dir/x.wasm" "$dir/x.wasm"
check "serve with one name for two programs" status_is 125 "--name is for one program"
run "$WHERRY" serve --threads 0 "$dir/x.wasm"
check "serve with no threads" status_is 125 "'0' is not between 1 and 256"
run "$WHERRY" serve --max-header-bytes 4Ki "$dir/x.wasm"
check "serve with room for no headers" status_is 125 "'4Ki' is not between 8 KiB and 1 MiB"
run "$WHERRY" serve --access-log xml "$dir/x.wasm"
check "serve with an unknown log format" status_is 125 "not one of text, json"
run "$WHERRY" serve --listen 0 "$dir/missing.wasm"
check "serve a file that is missing" status_is 127 "missing.wasm"
run "$WHERRY" serve --listen 0 --route /a="$dir/missing.wasm" "$dir/x.wasm"
check "serve a route's file that is missing" status_is 127 "missing.wasm"
run "$WHERRY" serve --listen 0 "$dir"
check "serve a folder" status_is 126 "is a folder"
run "$WHERRY" serve --listen 0 --tls-cert "$dir/x.wasm" "$dir/x.wasm"
check "serve with a certificate and no key" status_is 125 "--tls-key is missing"
run "$WHERRY" serve --listen 0 --tls-cert "$dir/no.pem" --tls-key "$dir/no.pem" "$dir/x.wasm"
check "serve with a certificate that is missing" status_is 125 "--tls-cert: cannot open"
run "$WHERRY" serve --listen 0 --ca "$dir" "$dir/x.wasm"
check "serve with a folder as certificates" status_is 125 "--ca: '$dir' is not a regular file"
run "$WHERRY" serve --listen 0 --ca "$dir/x.wasm" "$dir/x.wasm"
check "serve with certificates that are none" status_is 125 "is no PEM file"
run "$WHERRY" serve --listen "unix:$dir/x.wasm" "$dir/x.wasm"
check "serve on a file that is no socket" status_is 125 "is no socket"
run "$WHERRY" serve --listen "unix:$dir/no/s" "$dir/x.wasm"
check "serve in a folder that is missing" status_is 125 "/no' is missing"
run env LISTEN_FDS=x LISTEN_PID=1 "$WHERRY" serve "$dir/missing.wasm"
check "serve ignores sockets for another process" status_is 127

# Another server, with a port and a socket file, and a second file whose server is gone.
mkfifo "$dir/port"
python3 -c '
import socket, sys, time
tcp = socket.create_server(("127.0.0.1", 0), reuse_port=True)
live, stale = (socket.socket(socket.AF_UNIX) for _ in range(2))
live.bind(sys.argv[1] + "/live")
live.listen()
stale.bind(sys.argv[1] + "/stale")
stale.close()
print(tcp.getsockname()[1], flush=True)
time.sleep(60)' "$dir" >"$dir/port" &
server=$!
read -r port <"$dir/port"
run "$WHERRY" serve --listen "$port" "$dir/x.wasm"
check "serve on a port that is taken" status_is 125 "cannot listen on 127.0.0.1:$port"
check "says what to do" err_has "choose another port"
run "$WHERRY" serve --listen 0 --metrics "$port" "$dir/x.wasm"
check "figures on a port that is taken" status_is 125 "cannot listen on 127.0.0.1:$port"
run "$WHERRY" serve --listen "unix:$dir/live" "$dir/x.wasm"
check "serve on a socket that somebody answers" status_is 125 "something answers on it already"
kill "$server"
wait "$server" 2>/dev/null
mkdir "$dir/no-worker"
run env WHERRY_EXEC_PATH="$dir/no-worker" "$WHERRY" serve --listen "unix:$dir/stale" "$dir/x.wasm"
check "serve replaces a socket whose server is gone" status_is 125 "wherry-worker"

# What the worker is told: one that writes it down.
echo "-----BEGIN CERTIFICATE-----" >"$dir/ca.pem"
mkdir "$dir/told"
printf '#!/bin/sh\nexec cat "/proc/self/fd/$2"\n' >"$dir/told/wherry-worker"
chmod +x "$dir/told/wherry-worker"
(cd "$dir" && umask 0022 && WHERRY_EXEC_PATH="$dir/told" "$WHERRY" serve --threads 2 --listen :0 \
    --listen unix:s --metrics 0 --host A.example/x=x.wasm --timeout 5s --memory 1Mi -e A=1 \
    --ca ca.pem x.wasm) >"$dir/out" 2>"$dir/err"
status=$?
check "serve tells its worker what to serve" python3 -c "
import json, os
told = json.load(open('$dir/out'))
serve, spec = told['serve'], told['spec']
assert [(a['host'], a['route'], a['name'], a['path']) for a in serve['apps']] == [
    ('a.example', '/x', 'x.wasm', '$dir/x.wasm'), (None, '/', 'x.wasm', '$dir/x.wasm')]
urls = [l['url'] for l in serve['listeners']]
assert [l['thread'] for l in serve['listeners']] == [0, 1, -1]
assert urls[0] == urls[1] and urls[0].startswith('http://') and not urls[0].endswith(':0'), urls
assert urls[2] == 'unix:$dir/s'
assert os.stat('$dir/s').st_mode & 0o777 == 0o644
assert serve['metrics_fd'] > 2 and serve['threads'] == 2 and serve['reuse'] == 1
assert serve['limits']['request_ms'] == 5000 and serve['limits']['cpu_ms'] == 10000
assert spec['ca_fd'] > 2 and spec['memory_bytes'] == 1 << 20 and spec['env'] == ['A=1'] and told['cache_dir']"
# systemd gives a socket as descriptor 3, to the process that it names.
run python3 -c "
import os, socket
s = socket.create_server(('127.0.0.1', 0))
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), WHERRY_EXEC_PATH='$dir/told')
os.execv('$WHERRY', ['wherry', 'serve', '-e', 'LISTEN_FDS', '$dir/x.wasm'])"
check "serve takes the sockets that systemd passes" python3 -c "
import json
told = json.load(open('$dir/out'))
one, = told['serve']['listeners']
assert one['fd'] == 3 and one['thread'] == -1 and one['url'].startswith('http://127.0.0.1:')
assert told['spec']['env'] == []"

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
