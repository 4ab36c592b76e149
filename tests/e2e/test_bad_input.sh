#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files that cannot be run, and disks and folders that cannot be written: a clear message, the right
# status, nothing left behind.
. tests/tap.sh

guests=$PWD/build/guests
if ! make -s -C tests/guests OUT="$guests" "$guests/args.wasm" "$guests/cat.wasm" \
    "$guests/flood.wasm" "$guests/random.component.wasm" >"$dir/build.log" 2>&1; then
    cat "$dir/build.log" >&2
    not_ok "the guests build"
    finish
fi
# From here on: the cache of the tests is not the one of the machine.
XDG_CACHE_HOME=$dir/cache
export XDG_CACHE_HOME

# refused STATUS TEXT: with one line that names the file, and nothing on standard output.
refused() {
    status_is "$1" "$2" && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ]
}
no_signal() { [ "$status" -lt 128 ]; }

# --- Files ---
# Cut anywhere: never a crash, and never run. (At the end of a section what is left may be a whole
# module, but one without its code.)
for file in cat random.component; do
    size=$(wc -c <"$guests/$file.wasm")
    bad=
    i=0
    while [ $i -lt 40 ]; do
        head -c $((size * i / 40)) "$guests/$file.wasm" >"$dir/cut.wasm"
        run "$WHERRY" run --no-cache "$dir/cut.wasm"
        [ "$status" = 126 ] && err_has "cut.wasm" || bad="$bad $i:$status"
        i=$((i + 1))
    done
    check "$file cut at 40 places" test -z "$bad"
    [ -z "$bad" ] || echo "# $bad" >&2
done
bad=
for i in 1 2 3 4 5 6 7 8 9 10; do
    head -c 3000 /dev/urandom >"$dir/random.wasm"
    run "$WHERRY" run --no-cache "$dir/random.wasm"
    [ "$status" = 126 ] || bad="$bad random:$status"
    # One byte of a good file replaced: it may run or not, but ends in order.
    python3 - "$guests/cat.wasm" "$dir/flip.wasm" $i <<'P'
import random, sys
data = bytearray(open(sys.argv[1], "rb").read())
random.seed(int(sys.argv[3]))
data[random.randrange(8, len(data))] ^= 1 << random.randrange(8)
open(sys.argv[2], "wb").write(data)
P
    run "$WHERRY" run --no-cache --timeout 20s "$dir/flip.wasm"
    case $status in 0 | 1 | 7[0-9] | 126 | 134) ;; *) bad="$bad flip$i:$status" ;; esac
done
check "random bytes, and single wrong ones" test -z "$bad"
[ -z "$bad" ] || echo "# $bad" >&2
echo "#!/bin/sh" >"$dir/text.wasm"
run "$WHERRY" run "$dir/text.wasm"
check "a text file" refused 126 text.wasm
cp /bin/true "$dir/elf.wasm"
run "$WHERRY" run "$dir/elf.wasm"
check "an ELF file" refused 126 elf.wasm
: >"$dir/empty.wasm"
run "$WHERRY" run "$dir/empty.wasm"
check "an empty file" refused 126 "is empty"
run "$WHERRY" run "$dir"
check "a folder" refused 126 "is a folder"
run "$WHERRY" run "$dir/none.wasm"
check "a file that is not there" refused 127 none.wasm
run "$WHERRY" run "$dir/text.wasm/none"
check "a path through a file" refused 127 none
mkfifo "$dir/fifo.wasm"
run "$WHERRY" run "$dir/fifo.wasm"
check "a FIFO is not waited for" refused 126 "not a regular file"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    cp "$guests/args.wasm" "$dir/secret.wasm"
    chmod 600 "$dir/secret.wasm"
    chmod 755 "$dir"
    cp "$WHERRY" "$PWD/build/libexec/wherry/wherry-worker" "$dir/" 2>/dev/null
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/wherry" run "$dir/secret.wasm"
    check "a file that may not be read" status_is 126 "Permission denied"
fi

# --- Imports and worlds ---
# module FILE SPACE NAME: a command that imports one function.
module() {
    python3 - "$@" <<'P'
import sys
path, space, name = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
def text(s):
    return bytes([len(s)]) + s
def section(number, content):
    return bytes([number, len(content)]) + content
open(path, "wb").write(b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") +
                       section(2, b"\1" + text(space) + text(name) + b"\0\0") +
                       section(3, b"\1\0") + section(7, b"\1" + text(b"_start") + b"\0\1") +
                       section(10, b"\1\2\0\x0b"))
P
}
# component FILE IMPORT EXPORT: a component with an empty instance each.
component() {
    python3 - "$@" <<'P'
import sys
path, imported, exported = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
def text(s):
    return bytes([len(s)]) + s
def section(number, content):
    return bytes([number, len(content)]) + content
out = b"\0asm\x0d\0\1\0"
if imported:
    out += section(7, b"\1\x42\0") + section(10, b"\1\0" + text(imported) + b"\5\0")
if exported:
    out += section(5, b"\1\1\0") + section(11, b"\1\0" + text(exported) + b"\5" +
                                           bytes([1 if imported else 0]) + b"\0")
open(path, "wb").write(out)
P
}
# unknown SPACE NAME WHO
unknown() {
    module "$dir/m.wasm" "$1" "$2"
    run "$WHERRY" run "$dir/m.wasm"
    check "$1.$2 is offered by others: $3" sh -c \
        "[ $status = 126 ] && grep -qF '$1.$2' '$dir/err' && grep -qF '$3' '$dir/err'"
}
unknown env emscripten_memcpy_js "Emscripten"
unknown wbg __wbg_log "wasm-bindgen"
unknown gojs runtime.wasmExit "GOOS=wasip1"
unknown wasi thread-spawn "threads"
unknown wasix_32v1 fd_dup "WASIX"
unknown wasi_unstable fd_write "preview 0"
unknown wasi_snapshot_preview1 sock_open "WasmEdge"
unknown my_host call "does not know"
# missing IMPORT EXPORT TEXT
missing() {
    component "$dir/c.wasm" "$1" "$2"
    run "$WHERRY" run "$dir/c.wasm"
    check "${1:-$2}: $3" status_is 126 "$3"
}
missing wasi:keyvalue/store@0.2.0 wasi:cli/run@0.2.0 "key-value"
missing wasi:cli/environment@0.3.0-rc-2025-09-16 wasi:cli/run@0.2.0 "release candidate of WASI 0.3"
missing wasi:cli/environment@0.9.0 wasi:cli/run@0.2.0 "a version of WASI"
missing my:own/thing@1.0.0 wasi:cli/run@0.2.0 "another component"
missing "" wasi:http/incoming-handler@0.2.3 "it is an HTTP service, not a command"
missing "" wasi:http/handler@0.3.0 "it is an HTTP service, not a command"
run "$WHERRY" inspect "$dir/m.wasm"
check "inspect shows a file that cannot be run" status_is 0

# --- The cache ---
rm -rf "$dir/cache"
for size in 0 5000; do
    run "$WHERRY" run "$guests/args.wasm"
    for entry in "$dir"/cache/wherry/code/*; do
        chmod 600 "$entry"
        truncate -s $size "$entry"
    done
    run "$WHERRY" run "$guests/args.wasm"
    check "a cache entry cut to $size bytes is made anew" status_is 0 "damaged"
    run "$WHERRY" run -v "$guests/args.wasm"
    check "and is good from then on" status_is 0 "found the compiled code"
done
# spoil WHAT COMMAND: with the one entry's path as $1; the run is as good as before and says so, and
# the next finds a good entry.
spoil() {
    sh -c "$2" sh "$(find "$dir/cache/wherry/code" -mindepth 1 ! -name '.*')"
    run "$WHERRY" run "$guests/args.wasm"
    check "a cache entry $1 is made anew" status_is 0 "made anew"
    run "$WHERRY" run -v "$guests/args.wasm"
    check "and is good from then on" status_is 0 "found the compiled code"
}
spoil "with a bit flipped" 'chmod 600 "$1"; python3 -c "
import sys
with open(sys.argv[1], \"r+b\") as f:
    f.seek(4000)
    byte = f.read(1)[0]
    f.seek(4000)
    f.write(bytes([byte ^ 16]))" "$1"'
spoil "that others may write" 'chmod 666 "$1"'
spoil "that is a link to its own copy" 'mv "$1" "$1.copy"; ln -s "$1.copy" "$1"; rm -f "$1.copy"'
spoil "that is a folder" 'rm -f "$1"; mkdir "$1"'
[ "$(id -u)" = 0 ] && spoil "of somebody else" 'chown 12345 "$1"'
# Sealed as they should be, and yet not for this engine: what would be found if its settings' text
# did not tell all.
spoil "of another version of the engine" 'python3 tests/foreign_entry.py "$1" "\x0248\x18" "\x0247\x18"'
spoil "for another CPU" 'python3 tests/foreign_entry.py "$1" x86_64 mips64'
rm -rf "$dir/cache"
mkdir -p "$dir/cache/wherry/code"
chmod 777 "$dir/cache/wherry/code"
run "$WHERRY" run "$guests/args.wasm"
check "a cache that others may write is not used" status_is 0 "compiled anew"
check "and stays empty" sh -c "! ls -A '$dir/cache/wherry/code' | grep -q ."
run "$WHERRY" compile "$guests/args.wasm"
check "compile refuses it" test "$status" = 125
rm -rf "$dir/cache"
echo "a file" >"$dir/cache"
run "$WHERRY" run "$guests/args.wasm"
check "a cache that is no folder" status_is 0 "compiled anew"
rm -f "$dir/cache"
mkdir "$dir/disk"
if mount -t tmpfs -o size=64k,mode=700 tmpfs "$dir/disk" 2>/dev/null; then
    trap 'umount "$dir/disk" 2>/dev/null; rm -rf "$dir"' EXIT
    run "$WHERRY" run --cache-dir "$dir/disk" "$guests/args.wasm"
    check "a cache on a full disk" status_is 0 "cannot keep compiled code"
    check "nothing is left there" sh -c "! find '$dir/disk' -type f | grep -q ."
    run "$WHERRY" run "$guests/args.wasm"
    head -c 60000 /dev/zero >"$dir/disk/fill" 2>/dev/null
    cat /dev/zero >"$dir/disk/rest" 2>/dev/null
    run "$WHERRY" run --status-file "$dir/disk/status" "$guests/args.wasm"
    check "a status file on a full disk" status_is 125 "No space left"
    check "leaves no half of one" sh -c "[ \"\$(ls -A '$dir/disk' | grep -c status)\" = 0 ]"
    rm -f "$dir/disk/fill" "$dir/disk/rest"
    rm -rf "$dir/disk/code"
    mount -o remount,ro "$dir/disk"
    run "$WHERRY" run --cache-dir "$dir/disk" "$guests/args.wasm"
    check "a cache on a read-only disk" status_is 0 "compiled anew"
    run "$WHERRY" run -q --cache-dir "$dir/disk" "$guests/args.wasm"
    check "with -q without a word" test ! -s "$dir/err"
    umount "$dir/disk"
else
    skip "full and read-only disks" "mounting needs root"
fi
"$WHERRY" run "$guests/flood.wasm" 100000 >/dev/full 2>"$dir/err"
status=$?
: >"$dir/out"
check "/dev/full as standard output is the guest's affair" status_is 1 "No space left"
"$WHERRY" run "$guests/flood.wasm" 100000 2>"$dir/err" >&-
status=$?
check "a closed standard output" no_signal
"$WHERRY" run "$guests/flood.wasm" 100000000 2>"$dir/err" | head -c 10 >/dev/null
check "a reader that goes away ends the flood" test -e "$dir/err"

# --- kill -9 while it compiles ---
rm -rf "$dir/cache"
python3 tests/slow_module.py "$dir/slow.wasm" 60000
python3 - "$WHERRY" "$dir/slow.wasm" "$dir/cache/wherry/code" >"$dir/out" 2>"$dir/err" <<'P'
import os, subprocess, sys, time
wherry, module, code = sys.argv[1:]
p = subprocess.Popen([wherry, "run", module])
def kids():
    found = set()
    for t in os.listdir(f"/proc/{p.pid}/task"):
        found.update(open(f"/proc/{p.pid}/task/{t}/children").read().split())
    return found
while not (found := kids()):
    time.sleep(0.001)
p.kill()
p.wait()
def lives(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
while any(lives(k) for k in found):
    time.sleep(0.01)
entries = [n for n in os.listdir(code) if not n.startswith(".")]
print(entries)
sys.exit(len(entries))
P
status=$?
check "kill -9 during compilation leaves no entry and no compiler" status_is 0
run "$WHERRY" run "$dir/slow.wasm"
check "the next run makes it" status_is 0
check "and leaves the entry and nothing else" \
    sh -c "[ \"\$(ls -A '$dir/cache/wherry/code' | wc -l)\" = 1 ]"
finish
