#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Projects of every language, also those that download their tool chain.
WHERRY_NEW_ALL=1 exec tests/integ/test_new.sh
