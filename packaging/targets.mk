# Targets for who makes packages and releases; docs/packaging.md says what each is for.

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Packages are built apart: other flags would build everything anew each time.
PACKAGE_DIR = $(CURDIR)/target/package

.PHONY: release deb check-deb dist sbom reproducible notices msrv check-rpm vet

notices: ## THIRD-PARTY: the licences of what the binaries are linked from
	tools/notices

release: ## build as packages are: the same bits wherever it is built, with the list of crates inside
	packaging/release $(PACKAGE_DIR)

deb: ## Debian packages of both, in target/debian
	tools/setup deb
	packaging/deb $(PACKAGE_DIR)

check-deb: ## install the packages in a fresh Debian 12, serve HTTPS, and purge them (root; 5 minutes)
	tools/setup deb
	packaging/check-deb

dist: ## source and vendor tarballs and SBOMs of the commit, in target/dist
	tools/setup dist
	packaging/dist

reproducible: dist ## build the tarballs twice, elsewhere, as another user and without a network: the same bits? (20 minutes)
	packaging/reproducible

check-rpm: dist ## is the RPM spec one that rpmbuild takes, and does it build?
	packaging/rpm/check

msrv: ## compile with the oldest Rust that is promised
	tools/msrv

vet: ## which crates somebody has audited (cargo-vet; AUDITS=DIRECTORY with what others have read)
	@command -v cargo-vet >/dev/null || $(CARGO) install --locked cargo-vet
	packaging/vet $(AUDITS)
