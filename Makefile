# A thin front for cargo and the scripts in tools/. `make help` lists the targets.

PREFIX     ?= /usr/local
DESTDIR    ?=
CARGO      ?= cargo
CARGOFLAGS ?= --locked
# For another processor: make TARGET=aarch64-unknown-linux-gnu RUNS=/path/to/a/tpmctl/that/runs/here (docs/building.md).
TARGET     ?=

# Where OpenSSL looks for modules; asked of pkg-config first, then of openssl itself.
MODULESDIR ?= $(shell pkg-config --variable=modulesdir libcrypto 2>/dev/null || openssl version -m 2>/dev/null | sed -n 's/^MODULESDIR: "\(.*\)"$$/\1/p')

# Where programs look for PKCS#11 modules: by the name of the architecture where there is one, as on Debian.
MULTIARCH  ?= $(shell gcc -print-multiarch 2>/dev/null)
PKCS11DIR  ?= $(PREFIX)/lib$(if $(MULTIARCH),/$(MULTIARCH))/pkcs11
P11KITDIR   = $(PREFIX)/share/p11-kit/modules

BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
DOCDIR  = $(PREFIX)/share/doc/tpm-provider
TMPFILESDIR = $(PREFIX)/lib/tmpfiles.d

# cargo may build elsewhere; what it built is always left below target/.
CARGO_OUT = $(or $(CARGO_TARGET_DIR),target)$(if $(TARGET),/$(TARGET))/release
MODULE    = target/ossl-modules/tpm.so
# Tests of the feature async-jobs.
NEED_JOBS = async_jobs haproxy::one_thread_serves_others_while_the_tpm_works haproxy::clients_that_leave_while_the_tpm_works
TPMCTL    = target/release/tpmctl
# A tpmctl of the same version that runs on this machine, for the completion scripts.
RUNS     ?= $(TPMCTL)

.PHONY: all build demo check check-without-jobs check-suites check-vm fuzz matrix ui-idle bench man completions audit install install-strip \
  strip sizes uninstall clean help

all: build

build: ## build the module (target/ossl-modules/tpm.so) and tpmctl (target/release/tpmctl)
	$(CARGO) build --release $(CARGOFLAGS) $(if $(TARGET),--target $(TARGET))
	@mkdir -p target/ossl-modules target/release
	@# A rename, so that a process that has the old module mapped keeps its own copy.
	@cp $(CARGO_OUT)/libtpm_provider.so $(MODULE).new && mv $(MODULE).new $(MODULE)
	@test $(CARGO_OUT)/tpmctl -ef $(TPMCTL) || { cp $(CARGO_OUT)/tpmctl $(TPMCTL).new && mv $(TPMCTL).new $(TPMCTL); }
	@# The tests refuse what is older than its sources, of which cargo leaves out those of unit tests.
	@touch $(TPMCTL)
	@$(MAKE) --no-print-directory completions
	@if command -v pandoc >/dev/null; then $(MAKE) --no-print-directory man; \
	  else echo "no pandoc, so no man pages are made: apt-get install pandoc (make install wants them, or MAN=no)"; fi

completions: ## completion scripts, in target/completions (make build makes them)
	@mkdir -p $(SCRIPTS)
	@for each in bash:tpmctl zsh:_tpmctl fish:tpmctl.fish; do \
	  $(RUNS) completions "$${each%%:*}" >$(SCRIPTS)/new && test -s $(SCRIPTS)/new \
	    || { echo "$(RUNS) does not run here: name one of this version that does with RUNS=" >&2; exit 1; }; \
	  mv $(SCRIPTS)/new "$(SCRIPTS)/$${each#*:}"; done

demo: ## install what is missing, build, and show a TPM key with openssl and nginx
	tools/setup demo
	@$(MAKE) --no-print-directory build
	tools/demo

# A scenario waits for its TPM, its server or its client most of the time: two of them for each processor.
check check-without-jobs: export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))

check: ## install what is missing, build, lint, run every test, compare docs/MATRIX.md with the results
	tools/setup check
	@$(MAKE) --no-print-directory build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release $(CARGOFLAGS) --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release $(CARGOFLAGS) --workspace --no-deps --document-private-items
	$(CARGO) test --release $(CARGOFLAGS) --manifest-path models/loom/Cargo.toml
	$(CARGO) test --release $(CARGOFLAGS) --manifest-path models/shuttle/Cargo.toml
	@# make's shell may know no pipefail.
	@mkdir -p target/matrix
	{ $(CARGO) test --release $(CARGOFLAGS) --workspace; echo $$? >target/matrix/status; } 2>&1 | tee target/matrix/cargo-test.log
	@exit $$(cat target/matrix/status)
	tools/matrix check target/matrix/cargo-test.log
	@$(MAKE) --no-print-directory check-without-jobs ONLY="$(WAITING)"

# Scenarios that do not load the module, and so cannot differ.
NO_MODULE = tpmctl:: repository::
# Those in which somebody waits for the TPM or for another process, which is where the two builds differ.
WAITING = host::forks tls:: tpm::first_use tpm::many_keys tpm::costs tpm::recovery::

check-without-jobs: ## what builds where corosensei does not, and every test but those that want a job to pause
	$(CARGO) clippy --release $(CARGOFLAGS) --no-default-features -- -D warnings
	$(CARGO) build --release $(CARGOFLAGS) --lib --no-default-features
	@mkdir -p target/without-jobs
	@cp $(CARGO_OUT)/libtpm_provider.so target/without-jobs/tpm.so
	TPM_PROVIDER_MODULE=$(CURDIR)/target/without-jobs/tpm.so $(CARGO) test --release $(CARGOFLAGS) --test suite -- $(ONLY) \
	  $(addprefix --skip ,$(NEED_JOBS) $(NO_MODULE))

check-suites: ## other projects' PKCS#11 suites that are on this machine (tools/suites says which); writes docs/conformance.md
	tools/setup suites
	@$(MAKE) --no-print-directory build
	tools/suites

check-vm: ## boot Debian's kernel in QEMU and test the kernel's TPM drivers
	tools/setup vm
	@$(MAKE) --no-print-directory build
	nice tools/vm/run

UI_IDLE_SECONDS ?= 3600

ui-idle: ## an hour of the manager beside a busy nginx: it sends the TPM nothing (UI_IDLE_SECONDS=3600)
	tools/setup check
	@$(MAKE) --no-print-directory build
	UI_IDLE_SECONDS=$(UI_IDLE_SECONDS) $(CARGO) test --release $(CARGOFLAGS) --test suite -- --nocapture tpmctl::ui::idle

FUZZ_SECONDS ?= 120

fuzz: ## feed every parser what libFuzzer makes up, FUZZ_SECONDS=120 for each target (needs a nightly Rust)
	tools/setup fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz

matrix: ## run the tests against OpenSSL 3.5, 3.6 and 4.0 (built outside the tree), write docs/MATRIX.md
	tools/setup check
	@$(MAKE) --no-print-directory build
	tools/matrix

bench: ## what it costs, beside the raw TPM commands; writes docs/benchmarks.md (ARGS=quick: a short look)
	tools/setup bench
	@$(MAKE) --no-print-directory build
	$(CARGO) bench $(CARGOFLAGS) -- $(ARGS)

man: $(patsubst docs/%.md,target/man/%,$(wildcard docs/*.[1-8].md)) ## the man pages, in target/man (needs pandoc)

target/man/%: docs/%.md
	@mkdir -p target/man
	pandoc -s -t man $< -o $@.new && mv $@.new $@

audit: ## licences, advisories and sources of the dependencies (installs cargo-deny if missing; ADVISORY_DB=DIRECTORY)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	@# Where the net is closed git takes a clone of RustSec's in the place of the one at GitHub.
	$(if $(ADVISORY_DB),GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0='url.file://$(abspath $(ADVISORY_DB)).insteadOf' \
	  GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db )$(CARGO) deny --workspace check

# Where things go, quoted for the shell: a DESTDIR may have blanks.
quote = '$(subst ','\'',$(1))'
TO    = $(call quote,$(DESTDIR)$(1))
# Root's umask may be 077, and what is installed is for everybody: directories too, which install -D makes by the umask.
INSTALL = umask 022; install -D

# Where they come from, and whether they are wanted: what is missing is said and ends the installation.
MAN         ?= yes
MANPAGES    ?= target/man
COMPLETIONS ?= yes
SCRIPTS     ?= target/completions
STRIPPED    ?= target/stripped
P11KIT_MODULE ?= $(PKCS11DIR)/tpm.so

# Installs what was built and nothing else, so that `sudo make install` needs no toolchain of root's.
install: ## install below $(DESTDIR)$(PREFIX); the module goes to OpenSSL's MODULESDIR
	@test -f $(MODULE) -a -f $(TPMCTL) || { echo "nothing to install yet: run 'make' first" >&2; exit 1; }
	@test -n $(call quote,$(MODULESDIR)) || { echo "where does OpenSSL keep its modules? make install MODULESDIR=..." >&2; exit 1; }
	@test $(MAN) = no || for page in $(patsubst docs/%.md,%,$(wildcard docs/*.[1-8].md)); do test -s $(MANPAGES)/$$page || { \
	  echo "$(MANPAGES)/$$page is missing: apt-get install pandoc && make man, or make install MAN=no to do without" >&2; exit 1; }; done
	@test $(COMPLETIONS) = no || for script in tpmctl _tpmctl tpmctl.fish; do test -s $(SCRIPTS)/$$script || { \
	  echo "$(SCRIPTS)/$$script is missing: make completions, or make install COMPLETIONS=no to do without" >&2; exit 1; }; done
	$(INSTALL) -m 644 $(MODULE) $(call TO,$(MODULESDIR)/tpm.so)
	@# A link: who uses both front ends in one process has one module.
	umask 022; mkdir -p $(call TO,$(PKCS11DIR)) && ln -sfr $(call TO,$(MODULESDIR)/tpm.so) $(call TO,$(PKCS11DIR)/tpm.so)
	umask 022; mkdir -p $(call TO,$(P11KITDIR)) && \
	  sed 's|^module: .*|module: $(P11KIT_MODULE)|' conf/p11-kit/tpm-provider.module >$(call TO,$(P11KITDIR)/tpm-provider.module)
	$(INSTALL) -m 755 $(TPMCTL) $(call TO,$(BINDIR)/tpmctl)
	$(INSTALL) -m 644 conf/tmpfiles.d/tpm-provider.conf $(call TO,$(TMPFILESDIR)/tpm-provider.conf)
	@test $(MAN) = no || for page in $(patsubst docs/%.md,%,$(wildcard docs/*.[1-8].md)); do \
	  $(INSTALL) -v -m 644 $(MANPAGES)/$$page $(call TO,$(MANDIR))/man$${page##*.}/$$page || exit 1; done
	@test $(COMPLETIONS) = no || { \
	  $(INSTALL) -v -m 644 $(SCRIPTS)/tpmctl $(call TO,$(PREFIX)/share/bash-completion/completions/tpmctl) && \
	  $(INSTALL) -v -m 644 $(SCRIPTS)/_tpmctl $(call TO,$(PREFIX)/share/zsh/site-functions/_tpmctl) && \
	  $(INSTALL) -v -m 644 $(SCRIPTS)/tpmctl.fish $(call TO,$(PREFIX)/share/fish/vendor_completions.d/tpmctl.fish); }
	@for doc in $(wildcard *.md docs/*.md LICENSE-*) THIRD-PARTY; do $(INSTALL) -v -m 644 $$doc $(call TO,$(DOCDIR))/$$doc || exit 1; done
	@cd conf && find . -type f | while read -r f; do \
	  $(INSTALL) -v -m 644 "$$f" $(call TO,$(DOCDIR))/conf/"$${f#./}" || exit 1; done

# What debuggers read is beside the programs, by the name of the build.
strip: ## the module and tpmctl without what debuggers read, in target/stripped; that in target/stripped/debug
	@tools/strip $(MODULE) $(TPMCTL) $(STRIPPED)

install-strip: strip ## install, and only what runs; what debuggers read goes to $(PREFIX)/lib/debug
	@$(MAKE) --no-print-directory install MODULE=$(STRIPPED)/tpm.so TPMCTL=$(STRIPPED)/tpmctl
	@cd $(STRIPPED)/debug && find . -type f | while read -r f; do \
	  $(INSTALL) -v -m 644 "$$f" $(call TO,$(PREFIX)/lib/debug)/"$${f#./}" || exit 1; done

sizes: strip ## what the module and tpmctl take on the disk, with and without what debuggers read
	@for each in tpm.so:$(MODULE) tpmctl:$(TPMCTL); do f="$${each%%:*}"; \
	  printf '%-8s %7d KB, stripped %7d KB\n' "$$f" $$(($$(stat -c %s "$${each#*:}") / 1024)) $$(($$(stat -c %s $(STRIPPED)/$$f) / 1024)); done

uninstall: ## remove what install put there
	rm -f $(call TO,$(MODULESDIR)/tpm.so) $(call TO,$(BINDIR)/tpmctl) $(call TO,$(TMPFILESDIR)/tpm-provider.conf)
	rm -f $(call TO,$(PKCS11DIR)/tpm.so) $(call TO,$(P11KITDIR)/tpm-provider.module)
	@# By the names that install gives them.
	@for page in $(patsubst docs/%.md,%,$(wildcard docs/*.[1-8].md)); do rm -f $(call TO,$(MANDIR))/man$${page##*.}/$$page; done
	rm -f $(call TO,$(PREFIX)/share/bash-completion/completions/tpmctl) \
	  $(call TO,$(PREFIX)/share/zsh/site-functions/_tpmctl) $(call TO,$(PREFIX)/share/fish/vendor_completions.d/tpmctl.fish)
	rm -rf $(call TO,$(DOCDIR))
	@# What install-strip added, by the names that the stripped ones know.
	@for f in $$(cd $(STRIPPED)/debug 2>/dev/null && find . -type f); do rm -fv $(call TO,$(PREFIX)/lib/debug)/"$${f#./}"; done

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf target fuzz/target models/loom/target models/shuttle/target

include packaging/targets.mk

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
