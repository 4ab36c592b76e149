#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The end-to-end tests of containerd's shim with a shim that sanitizers watch.
set -u
. tests/tap.sh

run tools/check shim_asan
check "the shim uses no memory that it should not, and loses none" status_is 0
run tools/check shim_tsan
check "the shim's threads do not race" status_is 0
finish
