# SPDX-License-Identifier: Apache-2.0
# For the demos, which read this: go_find VERSION puts a Go that is as new on the path.

go_find() {
    for bin in "" /usr/local/go/bin "$HOME/go/bin" "$HOME/.local/go/bin" /usr/lib/go-*/bin; do
        go=$(PATH=${bin:-$PATH} command -v go) || continue
        version=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) || continue
        version=${version#go}
        if [ "$(printf '%s\n%s\n' "$1" "$version" | sort -V | head -n1)" = "$1" ]; then
            PATH=$(dirname "$go"):$PATH
            return 0
        fi
        echo "demo: $go is Go $version, too old" >&2
    done
    cat >&2 <<T
demo: this needs Go $1 or newer, and there is none on the path or in /usr/local/go.
demo: Debian 12's own is 1.19. Install one, as https://go.dev/doc/install says, with
demo:     rm -rf /usr/local/go && tar -C /usr/local -xzf go1.XX.Y.linux-amd64.tar.gz
demo: (or 'golang-go' from bookworm-backports), then run it again.
T
    return 1
}
