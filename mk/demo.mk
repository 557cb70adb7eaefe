# The demo runs a whole fleet on this machine, without GPU and without model hub.
DEMO_INVENTORY ?= inventories/local
# Ansible asks for the password once if the user is not root and sudo needs a password.
BECOME = $(shell [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null || echo --ask-become-pass)
# Certificates that clients trust in a shell with demo-env's variables (scripts/demo_env.py).
CLIENT_CA = $(DEMO_INVENTORY)/.llm_ca.pem
CLIENT_CA_VARIABLES = CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE SSL_CERT_FILE
# After demo-clean, that shell still names a file that is gone, and pip and uv would fail.
$(foreach name,$(CLIENT_CA_VARIABLES),$(if $(filter %/.llm_ca.pem,$($(name))),$(if $(wildcard $($(name))),,$(eval unexport $(name)))))
PLAYBOOK = eval "$$(.venv/control/bin/python scripts/uv_env.py shell)" && .venv/control/bin/ansible-playbook -i $(DEMO_INVENTORY) $(BECOME)

# A shell that has the variables trusts a new CA without calling demo-env again.
UPDATE_CLIENT_CA = [ ! -e $(CLIENT_CA) ] || .venv/control/bin/python scripts/demo_env.py $(DEMO_INVENTORY) >/dev/null

.PHONY: demo demo-plan demo-env demo-stop demo-clean gpu-box gpu-box-plan gpu-box-env gpu-box-stop gpu-box-clean

demo: .venv/control/.complete ## Set up this machine and chat with it; needs root or sudo
	@echo "==> Setting up the whole chain on this machine: about 5 minutes the first time, under a minute after that"
	@$(PLAYBOOK) site.yml
	@$(UPDATE_CLIENT_CA)

demo-plan: .venv/control/.complete ## Show what `make demo` would allocate, and touch nothing
	@$(PLAYBOOK) playbooks/plan.yml -e plan_fail_on_change=false

demo-env: ## Print the variables that clients read: eval "$$(make -s demo-env)"
	@.venv/control/bin/python scripts/demo_env.py $(DEMO_INVENTORY)

demo-stop: .venv/control/.complete ## Stop the demo; `make demo` starts it again
	@$(PLAYBOOK) playbooks/stop.yml

demo-clean: .venv/control/.complete ## Remove everything the demo put on this machine
	@$(PLAYBOOK) playbooks/remove.yml -e llm_confirm=remove
	@rm -rf $(addprefix $(DEMO_INVENTORY)/,.llm_secrets.yml .llm_fleet.json .llm_benchmarks) .venv/control
	@[ ! -e $(CLIENT_CA) ] || { rm -f $(CLIENT_CA); echo 'In a shell with the variables of demo-env: unset $(CLIENT_CA_VARIABLES)'; }
	@[ -e .venv/test ] || rm -rf .venv/uv .venv/python
	@rmdir --ignore-fail-on-non-empty .venv

# This does the same with a real model on this machine's own GPUs.
gpu-box gpu-box-plan gpu-box-env gpu-box-stop gpu-box-clean: DEMO_INVENTORY = inventories/gpu-box

gpu-box: .venv/control/.complete ## A real model on the GPUs of this machine: driver, engine, doors, chat page
	@echo "==> Setting up this machine: the driver first where there is none, then downloads of 20 GB and more"
	@$(PLAYBOOK) site.yml
	@$(UPDATE_CLIENT_CA)

gpu-box-plan: demo-plan ## Show what `make gpu-box` would allocate, and touch nothing
gpu-box-env: demo-env ## Print the variables that clients read
gpu-box-stop: demo-stop ## Stop it; `make gpu-box` starts it again
gpu-box-clean: demo-clean ## Remove everything it put on this machine
