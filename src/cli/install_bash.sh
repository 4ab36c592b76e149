#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install_bash.sh SCRIPT FOLDER: installs the bash completion under the name that bash looks for.
set -eu
target=$MESON_INSTALL_DESTDIR_PREFIX/$2
mkdir -p "$target"
install -m 0644 "$1" "$target/wherry"
