# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The paths that engines serve to clients, as the fleet's defaults name them."""

from __future__ import annotations

from pathlib import Path

import yaml

DEFAULTS = Path(__file__).resolve().parents[2] / "roles" / "fleet_defaults" / "defaults" / "main" / "engines.yml"
VLLM_PATHS: list[str] = yaml.safe_load(DEFAULTS.read_text())["vllm_api_paths"]
