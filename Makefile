SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
# The environments are made with the distribution's Python, so that service users can read it, too.
PYTHON ?= /usr/bin/python3
export PYTHON

include mk/demo.mk mk/test.mk mk/maintain.mk

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/\$$\$$/$$/g' | awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

.venv/%/.complete: requirements/%.txt scripts/venv.sh scripts/bootstrap.sh
	@scripts/venv.sh .venv/$* $<

# Newer releases of ansible-core need a newer Python than Debian 12 has.
.venv/core-%/.complete: requirements/core-%.txt scripts/venv.sh scripts/bootstrap.sh scripts/newer_python.sh
	@PYTHON=$$(scripts/newer_python.sh requirements/core-$*.in) scripts/venv.sh .venv/core-$* $<
