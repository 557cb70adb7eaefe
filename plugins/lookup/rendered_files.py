# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look up the texts of files from their templates, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rendered_files
author: llmfleet contributors (@llmfleet)
version_added: 0.2.0
short_description: Look up the texts of files from their templates
description:
  - Renders the template of each file as M(ansible.builtin.template) does, so that one call of
    M(llmfleet.serving.service_files) can write all files of a service.
  - A template sees its file as the variable C(item).
options:
  _terms:
    description: Files with C(src), the template's path or its name, which is searched as a role's templates are.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Write the files of the services
  llmfleet.serving.service_files:
    files: "{{ query('llmfleet.serving.rendered_files', *files) }}"
  vars:
    files: "{{ specs | llmfleet.serving.service_files('systemd', 'llm-', '/etc/llmfleet') }}"
"""

RETURN = r"""
_list:
  description: The files with C(dest), C(owner), C(group), C(mode), C(validate) and, instead of C(src), C(content).
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

KEPT = ("dest", "owner", "group", "mode", "validate")


class LookupModule(LookupBase):
    """The texts of files from their templates."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the files with their texts."""
        template = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        found = []
        for file in terms:
            texts = template.run([file["src"]], variables, template_vars={"item": file})
            if not isinstance(texts[0], str):
                # A template of nothing but one expression has that expression's type.
                raise AnsibleLookupError(f"{file['src']}: its text is a {type(texts[0]).__name__}. Convert it to text.")
            found.append({**{key: file[key] for key in KEPT if key in file}, "content": texts[0]})
        return found
