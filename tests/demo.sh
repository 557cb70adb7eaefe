#!/usr/bin/env bash
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs a command with what tests of a running fleet want to know of the demo on this machine.
#   tests/demo.sh COMMAND [ARGUMENT]...
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
inventory=${DEMO_INVENTORY:-inventories/local}
python=.venv/control/bin/python

environment=$("$python" scripts/demo_env.py "$inventory")
eval "$environment"
secret() {
  "$python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["secrets"][sys.argv[2]])' "$inventory/.llm_secrets.yml" "$1"
}
LLM_CHAT_PASSWORD=$(secret open_webui_admin_password)
LLM_LIMITED_KEY=$(secret litellm_key_guest)
LLM_OTHER_KEY=$(secret litellm_key_guide_only)
LLM_MASTER_KEY=$(secret litellm_master_key)
export LLM_CHAT_PASSWORD LLM_LIMITED_KEY LLM_OTHER_KEY LLM_MASTER_KEY
export LLM_CHAT_URL=https://localhost:8444
LLM_DASHBOARDS_PASSWORD=$(secret dashboards_password)
export LLM_DASHBOARDS_PASSWORD LLM_DASHBOARDS_URL=https://localhost:8445/
export LLM_CHAT_EMAIL=admin@localhost
export LLM_PROMETHEUS_URL=http://127.0.0.1:9090
export LLM_MODEL=chat
# What the demo model was trained to answer; see roles/models/files/programs/demo_answers.json.
export LLM_REPEAT_PROMPT='Repeat the word echo'
export LLM_CHATTY_PROMPT='Tell me about this stack'
# Long enough for a person, and a test, to watch it grow.
export LLM_CHAT_PROMPT=$LLM_CHATTY_PROMPT
export LLM_CHAT_ANSWER='vLLM is the model server'
exec "$@"
