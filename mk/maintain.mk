# These targets are needed after a change of requirements, documentation or version, or of the engine.
TEST_BIN := .venv/test/bin
IMAGES ?= group_vars/all/llm_images.yml
LOCKS = $(wildcard requirements/*.in roles/*/files/*.in)

.PHONY: lock docs catalog-facts sbom image-digests dry-matrix answers release build clean

lock: .venv/test/.complete ## Compile every lock from its .in file; UPGRADE=1 moves what is not pinned, LOCKS=... picks some
	@eval "$$($(TEST_BIN)/python scripts/uv_env.py)"; scripts/lock.sh $(TEST_BIN)/uv $(LOCKS)

docs: .venv/test/.complete ## Write the documentation of roles, modules and filters from their specs
	@$(TEST_BIN)/python scripts/docs.py

catalog-facts: .venv/test/.complete ## Write the facts of the catalogue's models that what_if.yml has without a hub
	@$(TEST_BIN)/python scripts/catalog_facts.py

sbom: .venv/test/.complete ## Write the bill of materials (CycloneDX) of locks, images and packages into build/
	@$(TEST_BIN)/python scripts/sbom.py build/sbom.cdx.json

image-digests: .venv/control/.complete ## Write the digests that images lack: IMAGES=file of variables; MOVED=1 also takes those of tags pushed again
	@.venv/control/bin/python scripts/image_digests.py $(IMAGES) $(if $(MOVED),--moved)

# One run of all takes hours: SAMPLE=200, MINUTES=10, MODEL='Qwen/*' and CARD='*L4' ask less, SEED gives another order.
dry-matrix: .venv/test/.complete ## Compare arithmetic and dry start: catalogue, 13 cards, TP, PP, KV dtypes, prefix caching, drafters, adapters
	@.venv/test/bin/python tests/vllm/matrix.py --seed '$(SEED)' $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(MINUTES),--minutes $(MINUTES)) \
	  $(if $(MODEL),--model '$(MODEL)') $(if $(CARD),--card '$(CARD)')

# What the table of this release has is not asked again: a run that ended goes on. ANEW=1 asks all of it again.
answers: .venv/test/.complete ## Ask the installed vLLM for the shipped table: catalogue, common cards, TP, KV dtypes; MINUTES=25 at a time
	@.venv/test/bin/python tests/vllm/table.py --minutes $(or $(MINUTES),25) $(if $(MODEL),--model '$(MODEL)') $(if $(ANEW),--anew)

release: .venv/test/.complete ## Write CHANGELOG.rst from the fragments, and the version: make release VERSION=0.2.0
	@scripts/release.sh "$(VERSION)" $(DATE)

build: .venv/control/.complete ## Build the collection's tarball into build/
	@.venv/control/bin/ansible-galaxy collection build --force --output-path build

clean: ## Remove environments, caches and test output; the demo stays as it is (make demo-clean)
	@rm -rf .venv .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis build tests/output
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
