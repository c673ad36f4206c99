# What people do with this project. Steps that take more than a line are in scripts/.

.DEFAULT_GOAL := help
.PHONY: help demo test test-vm fuzz bench bench-latency bench-history bench-writers screenshots install uninstall deps fmt lint advisories

# Where `install` puts things; DESTDIR in front is for packagers.
PREFIX ?= $(HOME)/.local
DESTDIR ?=
UDEV_RULES ?= /etc/udev/rules.d
export PREFIX DESTDIR UDEV_RULES

# mkfs, losetup and udevadm lie where an ordinary search path does not lead.
export PATH := $(PATH):/usr/sbin:/sbin

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## Plug in a drive (an image), see the backup start by itself, restore a file
	@scripts/deps.sh build demo
	cargo build --locked
	@scripts/demo.sh target/debug/bkm-agent

test: ## Run all tests; those that need root or a tool say so and are skipped
	@scripts/deps.sh build test
	@scripts/test.sh

test-vm: ## Plug USB drives into a virtual machine that has the program (root; 10 minutes)
	@scripts/deps.sh build
	@scripts/deps.sh vm || echo 'vm: not all tools are here'
	cargo test --locked --profile tested --test vm

fuzz: ## Feed every parser with arbitrary input, FUZZ_SECONDS (60) each
	@scripts/fuzz.sh

bench: ## Compare with rsync, restic, borg and rdiff-backup (root; an hour, 40 GB in /var/tmp)
	@scripts/deps.sh build bench
	cargo build --locked --release --bin bkm-agent --example walk
	benches/compare.py target/release/bkm-agent target/release/examples/walk $(BENCH_SETS)

bench-latency: ## Time from mounting to the first byte, from the last byte to the notification, and start-up (root)
	@scripts/deps.sh build demo bench
	cargo build --locked --release
	benches/latency.sh target/release/bkm-agent

bench-history: ## Time list, search, versions and restore over ten years of history (1 GB in /var/tmp)
	@scripts/deps.sh build
	cargo build --locked --release --bin bkm-agent --example history
	benches/history.sh

bench-writers: ## How many writers a slow drive should get, and how soon it is safe to remove (root; 5 minutes)
	@scripts/deps.sh build slow
	cargo build --locked --release
	benches/writers.sh target/release/bkm-agent

screenshots: ## Take the pictures in docs/images anew, of notifications and of the page on the drive
	@scripts/deps.sh build screenshots
	cargo build --locked --example notifications
	@scripts/screenshots.sh
	cargo test --locked --test system -- --ignored pictures

install: ## Install for this user, into ~/.local
	@scripts/deps.sh build
	cargo build --locked --release
	@scripts/install.sh target/release/bkm-agent

uninstall: ## Take away what install put there; profiles and backups stay
	@scripts/uninstall.sh

deps: ## Install what building and testing need (Debian, Ubuntu)
	@scripts/deps.sh build test

fmt: ## Format the code
	cargo fmt

lint: ## What CI asks beside the tests: format, clippy, dependencies, spelling
	@scripts/deps.sh build
	@scripts/deps.sh lint || echo 'lint: not all tools are here'
	cargo fmt --check
	@scripts/lint.sh
	cargo clippy --locked --all-targets --test vm -- -D warnings

# Not a part of lint: its database is fetched from GitHub each time, and what is right today can be wrong
# tomorrow without a change here.
advisories: ## Ask whether a dependency has a known security hole (needs GitHub)
	@scripts/deps.sh build lint
	cargo deny --locked check advisories
