# SPDX-License-Identifier: Apache-2.0
# A thin front: meson builds, the scripts in tools/ and tests/ do the rest.
PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build/meson
ifeq ($(CI),true)
MESON_FLAGS += --werror
endif

.PHONY: all deps demo demo-containerd guests peers programs test test-all check bench install clean format

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
	@tools/stage $(BUILD) build

# meson itself does not notice a folder whose meson.build is new.
$(BUILD)/build.ninja: meson.build meson_options.txt $(wildcard src/*/meson.build tests/*/meson.build)
	@for tool in meson ninja cargo; do command -v $$tool >/dev/null || \
		{ echo "wherry: '$$tool' is missing; 'make deps' installs what the build needs" >&2; exit 1; }; done
	meson setup $(if $(wildcard $@),--reconfigure) $(BUILD) --prefix=$(PREFIX) $(MESON_FLAGS) || \
		{ echo "wherry: if something is missing, 'make deps' installs it" >&2; exit 1; }
	@touch $@

# Debian packages and crates; quick when nothing is missing.
deps:
	@tools/deps

demo:
	@tools/demo

# The same beside native containers, under a containerd of its own. As root.
demo-containerd:
	@tools/demo-containerd

# The WebAssembly programs that tests run. The first time their tools are built as well.
guests:
	@$(MAKE) --no-print-directory -s -C tests/guests OUT=$(CURDIR)/build/guests

# What the tests with containerd need; several minutes of compiling the first time.
peers:
	@$(MAKE) --no-print-directory -s -C tests/containerd OUT=$(CURDIR)/build/containerd

# Installs what is missing, checks, then runs the tests that take a few minutes.
test:
	@tools/deps
	@$(MAKE) --no-print-directory -j2 check programs peers
	@tests/run unit integ e2e

# Also what takes long: real packages, fuzzing, examples of every language.
test-all:
	@tools/deps libfaketime nginx-light chromium rustc libstd-rust-dev-wasm32
	@FULL=1 $(MAKE) --no-print-directory -j2 check programs peers
	@LOAD_RUNS=1000 FULL=1 tests/run unit integ e2e slow

# Beside the check: the engine's crate is compiled on one processor.
programs: all
	@$(MAKE) --no-print-directory guests

check:
	@tools/check

bench: all
	@bench/run

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet --strip

format:
	clang-format-14 -i $$(git ls-files -co --exclude-standard 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' | grep -v /templates/)

clean:
	rm -rf build
