# These targets test the collection. A step is a target; `make test` stops at the first that fails. Words run one after the other; in a word, "+"
# separates lanes that run side by side and "," the steps of a lane, see tests/run.py. Steps run side by side if they keep one core busy, or wait for
# something else half of their time, and measure no times; those that do (chain, nginx and similar ones) run alone. The gate's limits of time leave out
# those in which programs wait for a processor (tests/support/patience.py). Scenarios run while the demo is
# installed, because a host takes over the environments that it has built; it is stopped then, because their engines need the memory. molecule-container
# (images of 8 GB are built, pushed and pulled), first-command (three more demos) and clients (2 GB of packages of others) are not among them, which is
# reported at the end.
TEST_STEPS ?= bench unit+gate usage demo,again+sanity,lint,plan,prod changes,readme+docs-check,doctor,importer,compat,collection \
  chain browser metrics engine+prometheus,outside nginx leaks demo-stop molecule+molecule-gpu,fleet demo-clean
PYTEST = .venv/test/bin/python -m pytest
PURE = ansible_collections.llmfleet.serving.plugins

# Releases of ansible-core after the control node's in .venv/control, which is the newest that Python 3.11 runs; then a pre-release, which may fail.
NEWER_CORES = .venv/core-2.20 .venv/core-2.21
NEXT_CORE = .venv/core-2.22

# Scenarios that run: all, or changed: those with an input that has changed since they were seen green (tests/bench/green.py).
# `make test` runs the changed ones, `make test SCENARIOS=all` and `make molecule` do not ask.
SCENARIOS ?= all
UNLESS_GREEN = $(if $(filter changed,$(SCENARIOS)),--unless-green)
SCENARIO = .venv/test/bin/python tests/bench/scenario.py $(UNLESS_GREEN)

.PHONY: test ready bench lint unit gate usage usage-million plan doctor prod docs-check importer sanity collection compat again changes readme chain clients browser metrics engine nginx prometheus outside leaks fleet molecule molecule-gpu molecule-container first-command

ready: ## Fail where the service of another checkout is on this machine
	@tests/ready.sh $(DEMO_INVENTORY)

# Lanes share the environments, so these are made before the lanes start.
test: export SCENARIOS = changed
test: ready .venv/test/.complete .venv/control/.complete ## Prove the collection: every step below, the first failure stops
	@.venv/test/bin/python tests/run.py $(TEST_STEPS)
	@echo 'Not run, because they take as long as the rest together: make molecule-container first-command; because it installs 2 GB of other people'\''s clients: make clients; because it measures alone: make usage-million'

lint: .venv/test/.complete ## ansible-lint, yamllint, ruff, mypy, shellcheck, bandit, detect-secrets, changelog fragments
	@tests/lint/run.sh

unit: .venv/test/.complete ## Unit tests with 95 % of plugins and of the programs of roles covered, argument specs, rooms, layers, locks
	@$(PYTEST) tests/unit --numprocesses=auto --dist=loadfile --no-loadscope-reorder --cov=$(PURE) --cov=roles --cov-report=term:skip-covered --cov-fail-under=95

gate: .venv/test/.complete ## The gate in front of a stub: keys, bodies, limits, streams, usage, restarts, attacks, fuzzing (no demo is needed)
	@$(PYTEST) tests/gate

usage: .venv/test/.complete ## The booking of usage in a real PostgreSQL: kill -9 of program and server, outages, two gateways, reports (no demo is needed)
	@scripts/bootstrap.sh postgresql
	@$(PYTEST) tests/usage -m 'not slow'

usage-million: .venv/test/.complete ## A million booked minutes: time of the report of a month and size (minutes)
	@scripts/bootstrap.sh postgresql
	@$(PYTEST) -s tests/usage -m slow

plan: .venv/test/.complete ## playbooks/plan.yml over hosts whose nvidia-smi replays recorded output
	@$(PYTEST) tests/plan --numprocesses=auto

doctor: .venv/test/.complete ## playbooks/doctor.yml on this machine, with stand-ins for GPU, torch and docker
	@$(PYTEST) tests/doctor --numprocesses=auto

prod: .venv/test/.complete ## inventories/prod: syntax, graph, and the plan from recorded facts with no host reachable
	@$(PYTEST) tests/prod

docs-check: .venv/test/.complete ## Fail when the written documentation differs from what `make docs` writes
	@.venv/test/bin/python scripts/docs.py --check

importer: .venv/test/.complete ## What Galaxy checks on upload
	@tests/lint/importer.sh

sanity: .venv/test/.complete $(NEWER_CORES:%=%/.complete) ## ansible-test sanity on the built and installed collection, with every ansible-core
	@tests/sanity/run.sh .venv/test $(NEWER_CORES)

collection: .venv/test/.complete ## The tarball, installed elsewhere, is the checkout: same files, tasks, variables
	@$(PYTEST) tests/collection

compat: .venv/control/.complete $(NEWER_CORES:%=%/.complete) ## Newer ansible-cores read playbooks, roles and documentation, and plan the same
	@$(MAKE) --no-print-directory $(NEXT_CORE)/.complete || echo 'compat: $(NEXT_CORE) cannot be made here, which is allowed: it is a pre-release'
	@tests/collection/compat.sh .venv/control $(NEWER_CORES) $$(test -e $(NEXT_CORE)/.complete && echo $(NEXT_CORE))

again: .venv/control/.complete $(NEWER_CORES:%=%/.complete) ## The tarball and newer ansible-cores leave the running demo unchanged
	@tests/collection/again.sh $(DEMO_INVENTORY) tests/output $(NEWER_CORES)

fleet: .venv/control/.complete .venv/test/.complete ## Rollouts of a fleet of three hosts that are namespaces of this machine, under a client (root, demo)
	@.venv/test/bin/python tests/bench/green.py $(UNLESS_GREEN) fleet $(PYTEST) -s tests/fleet

changes: .venv/control/.complete .venv/test/.complete ## The demo with a rotated key, stopped, brought back by a run that is killed and run again, with a cache and a database meanwhile
	@$(PYTEST) tests/changes

readme: .venv/test/.complete ## Run the commands that the README and docs/ promise, against the demo
	@$(PYTEST) tests/readme

chain: .venv/control/.complete .venv/test/.complete ## Through the demo's doors: OpenAI and Anthropic clients, streams, refusals, outages
	@tests/demo.sh $(PYTEST) tests/chain -m 'not backend_errors and not backend_pace'
	@.venv/test/bin/python tests/chain/with_stub.py -m 'backend_errors or backend_pace'

clients: .venv/control/.complete .venv/test/.complete ## The pages of docs/clients, run: libraries and coding agents finish a loop with a tool against the demo
	@command -v npm >/dev/null || scripts/bootstrap.sh nodejs npm
	@tests/demo.sh $(PYTEST) tests/clients -o tmp_path_retention_policy=failed

browser: .venv/control/.complete .venv/test/.complete ## In Chromium: log in to the demo's chat page, ask, watch the answer grow
	@scripts/bootstrap.sh chromium chromium-driver
	@tests/demo.sh $(PYTEST) tests/browser

metrics: .venv/control/.complete .venv/test/.complete ## The demo's Prometheus hears from everybody and has what the rules ask for
	@tests/demo.sh $(PYTEST) tests/metrics

engine: .venv/test/.complete ## The plan's arithmetic against the demo's real vLLM: context and KV cache of three kinds of model, 20 dry starts
	@$(PYTEST) tests/vllm

outside: .venv/test/.complete .venv/canaille/.complete ## In networks of their own: Open WebUI sends nothing to the outside, people log in through a provider, the filter of a service lets nothing else out, the firewall lets peers in
	@$(PYTEST) tests/open_webui
	@scripts/bootstrap.sh nftables
	@$(PYTEST) tests/egress tests/firewall

leaks: ## No generated secret of the demo in test output, logs, units, process lists or readable files
	@/usr/bin/python3 tests/leaks/scan_secrets.py $(DEMO_INVENTORY)/.llm_secrets.yml --host tests/output $(wildcard build)

nginx: .venv/test/.complete .venv/sslyze/.complete ## The proxy's configuration in variants, with a real nginx (the demo brings it), gixy and sslyze
	@$(PYTEST) tests/nginx

prometheus: .venv/test/.complete ## Prometheus with its rules: series of known values, a real server (the demo brings both)
	@$(PYTEST) tests/prometheus

# Scenarios: systemd hosts in containers of a Docker engine. The last two say in their files what they stand in for.
bench: .venv/test/.complete ## A Docker engine and the images that the scenarios' hosts start from
	@$(SCENARIO) default --to images && $(SCENARIO) gpu --to images

molecule: .venv/test/.complete ## The fleet on systemd hosts: check mode, converge, idempotence, verify, removal
	@$(SCENARIO) default

molecule-gpu: .venv/test/.complete ## Drivers, MIG, engine, toolkit, upgrades, removal on hosts with stand-ins for cards and packages
	@$(SCENARIO) gpu

molecule-container: .venv/test/.complete ## The whole chain in containers of a real engine, pulled from a registry
	@$(SCENARIO) container

# Running a part of a proof shows nothing about the whole, so it is not recorded as green: make first-command FIRST='--to plan ubuntu2604'.
FIRST ?=
first-command: .venv/test/.complete ## `make demo` on Debian 13, Ubuntu 24.04 and 26.04 as they come: plan, demo, second run, removal
	@$(if $(FIRST),,.venv/test/bin/python tests/bench/green.py $(UNLESS_GREEN) first-command )tests/bench/first_command.sh $(FIRST)
