#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Programs of others: the LLVM of @yowasp/clang makes an object from C, the Yosys of @yowasp/yosys
# synthesises a counter, and each example is built and run.
. tests/tap.sh

mkdir "$dir/work"

# --- LLVM: one program for all its tools; the first argument says which ---
if clang=$(tests/yowasp clang 2>"$dir/npm.log"); then
    llvm=$clang/llvm.core.wasm
    echo 'int add(int a, int b) { return a + b; }' >"$dir/work/add.c"
    run "$WHERRY" run --name llvm --dir "$dir/work::/work" "$llvm" clang -cc1 \
        -triple wasm32-unknown-wasip1 -emit-obj -O2 -o /work/add.o -x c /work/add.c
    check "LLVM compiles a C file" status_is 0
    check "to a WebAssembly object" \
        sh -c "[ \"\$(head -c 4 '$dir/work/add.o' | od -An -tx1)\" = ' 00 61 73 6d' ]"
    run "$WHERRY" run --name llvm --dir "$dir/work::/work:ro" "$llvm" nm /work/add.o
    check "that defines the function" sh -c "grep -q 'T add' '$dir/out'"
    echo 'int add(int a' >"$dir/work/bad.c"
    run "$WHERRY" run --name llvm --dir "$dir/work::/work" "$llvm" clang -cc1 \
        -triple wasm32-unknown-wasip1 -emit-obj -o /work/bad.o -x c /work/bad.c
    check "an error in the C file is the compiler's own status" status_is 1 "bad.c:1"
    run "$WHERRY" run -v --name llvm "$llvm" clang --version
    check "the next run compiles nothing" err_has "in the cache"

    # The same program as an image in a file.
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests python3 -c "import sys; from image_layout import Layout
layout = Layout(sys.argv[1]); layout.tag('llvm:22', layout.artifact(sys.argv[2]))" "$dir/layout" "$llvm"
    tar -C "$dir/layout" -czf "$dir/llvm.tar.gz" .
    run env WHERRY_STATE_DIR="$dir/a" "$WHERRY" load -i "$dir/llvm.tar.gz"
    check "75 MB are loaded" out_has "docker.io/library/llvm:22@sha256:"
    run env WHERRY_STATE_DIR="$dir/a" "$WHERRY" save -o "$dir/llvm.tar" llvm:22
    check "and saved" status_is 0
    run env WHERRY_STATE_DIR="$dir/b" "$WHERRY" run -v "oci-archive:$dir/llvm.tar:22" clang --version
    check "and run from the archive, as the same program" err_has "in the cache"
else
    cat "$dir/npm.log" >&2
    not_ok "npm installs @yowasp/clang"
fi

# --- Yosys ---
if gen=$(tests/yowasp yosys 2>"$dir/npm.log"); then
    cat >"$dir/work/counter.v" <<'V'
module counter(input clk, input reset, output reg [7:0] value);
    always @(posedge clk) if (reset) value <= 0; else value <= value + 1;
endmodule
V
    # It looks for its library beside its own name and makes temporary files.
    mkdir "$dir/tmp"
    # Its library is text in a JavaScript module, large parts of it as files.
    node --input-type=module - "$gen" "$dir/share" >"$dir/node.log" 2>&1 <<'J'
import fs from "node:fs";
const [gen, to] = process.argv.slice(2);
const { filesystem } = await import(gen + "/resources-yosys.js");
function write(entries, folder) {
    fs.mkdirSync(folder, { recursive: true });
    for (const [name, value] of Object.entries(entries)) {
        const path = folder + "/" + name;
        if (typeof value === "string" || value instanceof Uint8Array) fs.writeFileSync(path, value);
        else if (value instanceof URL) fs.copyFileSync(value, path);
        else write(value, path);
    }
}
write(filesystem.share, to);
J
    run "$WHERRY" run --name yosys --dir "$dir/work::/work" --dir "$dir/tmp::/tmp" \
        --dir "$dir/share::/share:ro" "$gen/yosys.core.wasm" \
        -p "read_verilog /work/counter.v; synth -noabc -top counter; write_json /work/counter.json; stat"
    check "Yosys synthesises a counter" status_is 0
    check "with eight flip-flops" python3 - "$dir/work/counter.json" <<'P'
import json, sys
cells = json.load(open(sys.argv[1]))["modules"]["counter"]["cells"].values()
flops = [c for c in cells if "DFF" in c["type"]]
assert len(flops) == 8, [c["type"] for c in cells]
P
else
    cat "$dir/npm.log" >&2
    not_ok "npm installs @yowasp/yosys"
fi

# --- The examples, built apart from the tree; those that answer HTTP are asked by
# test_serve_clients.py, the application of examples/pods by the demo ---
cp -r examples "$dir/"
for name in $(ls examples | grep -vE '^(http-.*|pods)$'); do
    if ! make -C "$dir/examples/$name" >"$dir/build.log" 2>&1; then
        tail -20 "$dir/build.log" >&2
        not_ok "the example $name builds"
        continue
    fi
    for file in "$dir/examples/$name/build/"hello.component.wasm \
        "$dir/examples/$name/build/"hello.wasm; do
        [ ! -f "$file" ] || break
    done
    run "$WHERRY" run --no-cache "$file"
    check "the example $name runs" status_is 0
    check "the example $name greets" grep -qi hello "$dir/out"
done
finish
