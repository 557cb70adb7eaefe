# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet import summary


def test_columns_are_as_wide_as_their_widest_cell():
    text = summary.table([["chat", "host"], ["x", 1]], ["service", "on"])
    assert text.splitlines() == ["service  on", "-------  ----", "chat     host", "x        1"]


def test_a_door_hides_the_port_that_https_implies():
    assert summary.door_url({"server_name": "llm.example", "port": 443}) == "https://llm.example/"
    assert summary.door_url({"server_name": "localhost", "port": "8443"}, "/v1") == "https://localhost:8443/v1"


def told(door: str, **urls: str) -> dict[str, object]:
    services = [{"name": name.replace("_", "-"), "url": url} for name, url in urls.items()]
    return {"services": services, "doors": [{"label": "API", "text": door}]}


def test_the_summary_lists_what_there_is_and_nothing_else():
    text = summary.fleet_summary(
        [{"name": "chat-0", "host": "gpu1", "address": "10.0.0.1:8100"}],
        {"gw": told("https://x/", nginx="https://x/", open_webui="")},
        [{"label": "Secrets", "text": "/x"}, {"label": "Nothing", "text": ""}],
    )
    assert "llm-vllm-chat-0  gpu1  http://10.0.0.1:8100" in text
    assert "llm-nginx        gw    https://x/" in text
    assert "Secrets  /x" in text
    assert "open-webui" not in text
    assert "Nothing" not in text


def test_every_host_is_shown_with_its_own_address():
    hosts = {
        "gpu1": told("", nginx="", exporter="http://10.0.0.1:9100"),
        "gw1": told("https://gw1/", nginx="https://gw1/", exporter="http://10.0.0.2:9100"),
        "gw2": told("https://gw2/", nginx="https://gw2/", exporter="http://10.0.0.3:9100"),
        "gw3": told("https://gw2/", nginx="https://gw2/", exporter="http://10.0.0.4:9100"),
    }
    text = summary.fleet_summary([], hosts, [])
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["llm-nginx", "gw1", "https://gw1/"],
        ["llm-nginx", "gw2", "https://gw2/"],
        ["llm-nginx", "gw3", "https://gw2/"],
        ["llm-exporter", "gpu1", "http://10.0.0.1:9100"],
        ["llm-exporter", "gw1", "http://10.0.0.2:9100"],
        ["llm-exporter", "gw2", "http://10.0.0.3:9100"],
        ["llm-exporter", "gw3", "http://10.0.0.4:9100"],
        [],
        ["API", "https://gw1/,", "https://gw2/"],
    ]
