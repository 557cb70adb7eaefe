# These targets are needed after a change of requirements, documentation or version.
TEST_BIN := .venv/test/bin
IMAGES ?= group_vars/all/llm_images.yml
LOCKS = $(wildcard requirements/*.in roles/*/files/*.in)

.PHONY: lock docs sbom image-digests release build clean

lock: .venv/test/.complete ## Compile every lock from its .in file; UPGRADE=1 moves what is not pinned, LOCKS=... picks some
	@eval "$$($(TEST_BIN)/python scripts/uv_env.py)"; scripts/lock.sh $(TEST_BIN)/uv $(LOCKS)

docs: .venv/test/.complete ## Write the documentation of roles, modules and filters from their specs
	@$(TEST_BIN)/python scripts/docs.py

sbom: .venv/test/.complete ## Write the bill of materials (CycloneDX) of locks, images and packages into build/
	@$(TEST_BIN)/python scripts/sbom.py build/sbom.cdx.json

image-digests: .venv/control/.complete ## Write the digests that images lack: IMAGES=file of variables; MOVED=1 also takes those of tags pushed again
	@.venv/control/bin/python scripts/image_digests.py $(IMAGES) $(if $(MOVED),--moved)

release: .venv/test/.complete ## Write CHANGELOG.rst from the fragments, and the version: make release VERSION=0.2.0
	@scripts/release.sh "$(VERSION)" $(DATE)

build: .venv/control/.complete ## Build the collection's tarball into build/
	@.venv/control/bin/ansible-galaxy collection build --force --output-path build

clean: ## Remove environments, caches and test output; the demo stays as it is (make demo-clean)
	@rm -rf .venv .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis build tests/output
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
