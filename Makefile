# SPDX-License-Identifier: MIT
# The front door. Meson builds, pytest and cmocka test; this names the ways in.

PREFIX ?= /usr/local
DESTDIR ?=

PYTHON = /usr/bin/python3
SOURCES = $(shell find src include examples tests bench -name '*.[ch]')

# How long `make fuzz` lets each target run, in seconds; `make soak` has its own.
T ?= 60

# How many seeds `make simulate` runs, and from which one on.
SEEDS ?= 100000
FROM ?= 0

# What `make storm` and `make soak` are told: STORE, BROKER, MESSAGES, KILLS, SEED,
# WINDOW, JSON.
chosen = $(foreach name,$(1),$(if $($(name)),--$(shell echo $(name) | tr A-Z a-z) $($(name))))

.PHONY: all demo test test-full lint bench fuzz simulate convict storm soak fmt install clean help

all: build/build.ninja ## build everything into build/
	ninja -C build

demo: ## show it at work: real broker, real kills, every message accounted for
	tools/install-packages
	$(MAKE) all
	$(PYTHON) demo/demo.py

test: ## install what is needed, build, check and test everything
	tools/install-packages
	tools/run-tests build lint unit integration

test-full: ## the same with every compiler and every slow test
	tools/install-packages
	tools/run-tests --full build lint unit integration

lint: ## formatting, static analysis, and the rules of the house
	tools/run-tests lint

bench: ## measure throughput and latency against real servers
	tools/install-packages bench
	$(MAKE) build/build.ninja
	meson setup --reconfigure build -Draw_mqtt=true
	$(MAKE) all
	$(PYTHON) bench/bench.py build/bench.json docs/bench.svg

storm: ## kill everything while 100,000 messages cross; STORE, BROKER, MESSAGES, KILLS, SEED
	tools/install-packages
	$(MAKE) all
	$(PYTHON) tests/storm/run.py $(call chosen,STORE BROKER MESSAGES KILLS SEED WINDOW JSON)

soak: ## ten minutes (T=600) of trouble; what workers take is given back
	tools/install-packages
	$(MAKE) all
	$(PYTHON) tests/storm/soak.py $(call chosen,STORE BROKER SEED JSON) \
		$(if $(filter command line environment,$(origin T)),--t $(T))

fuzz: build-fuzz/build.ninja ## fuzz each parser for T seconds (60)
	ninja -C build-fuzz fuzz
	@set -e; for target in $$(find build-fuzz/tests/fuzz -type f -perm -1 -name "fuzz_*"); do \
		name=$${target##*/fuzz_}; \
		mkdir -p build-fuzz/corpus/$$name; \
		(cd build-fuzz && tests/fuzz/fuzz_$$name -max_total_time=$(T) \
			-print_final_stats=1 -timeout=10 -rss_limit_mb=512 \
			corpus/$$name ../tests/fuzz/corpus/$$name); \
	done

simulate: build/build.ninja ## judge SEEDS (100000) simulated runs in which everything breaks
	ninja -C build tests/simulation/simulation
	build/tests/simulation/simulation --jobs $$(nproc) \
		--seeds $(SEEDS) --from $(FROM)

convict: build-test/build.ninja ## plant each known bug and see it caught
	tools/install-packages
	ninja -C build-test
	$(PYTHON) tests/convict.py

fmt: ## format the C sources in place
	clang-format-14 -i $(SOURCES)

install: all ## install below PREFIX (/usr/local), staged in DESTDIR
	meson configure build --prefix=$(abspath $(PREFIX))
	meson install -C build $(if $(DESTDIR),--destdir=$(abspath $(DESTDIR)))

clean: ## remove what was built
	rm -rf build build-clang build-fuzz build-sanitize build-test build-tsan

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

build/build.ninja:
	meson setup build --prefix=$(abspath $(PREFIX))

build-test/build.ninja:
	meson setup build-test -Dtesting=true -Dwerror=true

build-fuzz/build.ninja:
	tools/install-packages
	meson setup build-fuzz --native-file tools/clang.ini -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-fsanitize=fuzzer-no-link
