#!/usr/bin/python
# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action in plugins/action/fleet_secrets.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_secrets
short_description: Return, keep or generate the secrets of a fleet
version_added: 0.1.0
description:
  - Returns one value for each secret that a fleet needs. A value that is set wins, then the file beside the inventory;
    a value that is in neither is generated and written there.
  - Never generates new secrets for a running fleet. If hosts report that they run with secrets which this control node
    does not have, it fails with the possible remedies.
  - An ansible-vault encrypted file is read with the vault passwords of the run and never written. Names that it lacks
    are an error that lists them.
  - The result is never shown, so the task needs no C(no_log); with it, the remedy of a failure would be hidden too.
    Every other task that handles the values still needs it.
options:
  path:
    description:
      - File on the control node, mode 0600. Keep it out of version control unless it is encrypted.
      - Its directory must exist.
    type: str
    required: true
  names:
    description:
      - The secrets, by name. Each is a dictionary of C(kind), C(length) and C(given), all optional.
      - C(kind) is V(password) (letters and digits, the default), V(key) (V(sk-) and characters that are safe in a URL)
        or V(hex).
      - C(length) is the number of random characters. By default 24 for a password, 32 for a key and 64 for hex; at
        least 16.
      - C(given) is a value that the user sets. It wins over the file and is not written into it. Empty means none.
    type: dict
    required: true
  fleet_ids:
    description:
      - IDs of the secrets with which the hosts run, as an earlier run recorded them. Empty ones are ignored.
    type: list
    elements: str
    default: []
  rotate:
    description:
      - Names for which a new value is generated even though the file has one.
      - Each call rotates, so call the action once in a run.
    type: list
    elements: str
    default: []
  adopt:
    description:
      - Go on although the hosts run with other secrets. This control node's file is kept, and what it lacks is made
        new.
    type: bool
    default: false
  prune:
    description:
      - Beginning of the names whose stored values are removed from the file when O(names) does not have them, so that a
        value that was revoked does not come back with its name. Empty removes none.
      - An encrypted file is not written; RV(unused) says what to remove from it.
    type: str
    default: ""
  keep:
    description:
      - Names that O(prune) keeps although O(names) does not have them.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - llmfleet.serving.attributes
  - llmfleet.serving.attributes.control_node
attributes:
  check_mode:
    support: full
    details: Secrets that would be generated have values that are gone after the run.
  diff_mode:
    support: none
    details: A diff would show secrets.
  idempotent: {support: full, details: A second call generates nothing.}
author:
  - llmfleet contributors (@llmfleet)
"""

EXAMPLES = r"""
- name: Get the secrets of the fleet
  llmfleet.serving.fleet_secrets:
    path: "{{ inventory_dir }}/.llm_secrets.yml"
    names:
      litellm_master_key: {kind: key, given: "{{ litellm_master_key | default('') }}"}
      open_webui_admin_password: {kind: password, length: 20}
      open_webui_secret_key: {kind: hex}
    fleet_ids: "{{ my_secrets_ids_of_all_hosts }}"
    rotate: "{{ llm_rotate | default([]) }}"
    adopt: "{{ llm_secrets_adopt | default(false) | bool }}"
  run_once: true
  register: llm_secrets

# ansible-playbook site.yml -i inventories/prod -e llm_rotate=litellm_master_key
"""

RETURN = r"""
secrets:
  description: The value of each name.
  returned: success
  type: dict
  sample: {litellm_master_key: sk-...}
id:
  description:
    - Identity of the file's secrets, for the hosts to keep. It is no secret.
    - Empty where every value is given and no file exists.
  returned: success
  type: str
  sample: 0b9e4f57-6d4e-4d3c-9a7c-3d2b1f0a5e11
created:
  description: Names that were generated, or rotated, in this run.
  returned: success
  type: list
  elements: str
  sample: [litellm_master_key]
pruned:
  description: Names whose values were removed from the file.
  returned: success
  type: list
  elements: str
  sample: [litellm_key_contractor]
unused:
  description: Names whose values should be removed from the encrypted file.
  returned: success
  type: list
  elements: str
  sample: []
"""
