# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look up the version of this collection, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: collection_version
author: llmfleet contributors (@llmfleet)
version_added: 0.1.0
short_description: Look up the version of this collection
description:
  - Reads it from C(MANIFEST.json) of an installed collection, or from C(galaxy.yml) of a checkout.
options: {}
"""

EXAMPLES = r"""
- name: Show the version of the collection
  ansible.builtin.debug:
    msg: "{{ lookup('llmfleet.serving.collection_version') }}"
"""

RETURN = r"""
_raw:
  description: The version, as one item.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import version

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"MANIFEST.json": version.from_manifest, "galaxy.yml": version.from_galaxy}


def read(root: Path) -> str:
    """Return the version of the collection in a folder."""
    for name, parse in SOURCES.items():
        path = root / name
        try:
            return parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError) as error:
            raise AnsibleLookupError(
                f"{path}: the collection's version cannot be read: {error}. Reinstall it."
            ) from error
    raise AnsibleLookupError(f"{root} has neither {' nor '.join(SOURCES)}: the collection is incomplete. Reinstall it.")


class LookupModule(LookupBase):
    """The version of this collection."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return it as the one item."""
        return [read(ROOT)]
