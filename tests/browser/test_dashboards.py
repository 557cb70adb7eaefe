# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person opens the dashboards in Chromium, on a desktop and on a phone, light and dark.

LLM_DASHBOARDS_URL       the page, e.g. https://localhost:8445/
LLM_DASHBOARDS_PASSWORD  with which `operator` logs in
LLM_DASHBOARDS_PICTURES  folder for pictures (default: nowhere)

It needs Debian's `chromium` and `chromium-driver` and PyPI's `selenium`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new",
    # Tests run as root in containers, where Chromium has no sandbox of its own.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    # The browser itself asks nothing of the outside, so that every request seen is the page's.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The certificate is tested with OpenSSL, not here.
    "--ignore-certificate-errors",
)
DESKTOP, PHONE = (1280, 900), (390, 844)
PAGES = ("fleet", "model", "gateway", "gpu", "host", "changes")
STATE = "return document.getElementById('state').textContent"
# What a person sees of the page: charts that are drawn, and sentences in their place.
SEEN = """return {charts: document.querySelectorAll('.chart canvas').length,
  numbers: [...document.querySelectorAll('div.number')].map(one => one.textContent),
  said: [...document.querySelectorAll('.said')].map(one => one.textContent).filter(Boolean),
  bad: document.querySelectorAll('.bad').length, width: document.documentElement.scrollWidth,
  ground: getComputedStyle(document.body).backgroundColor}"""

# Which delays the page plans.
WATCH = """window.planned = []; const real = window.setTimeout;
  window.setTimeout = (call, delay) => { window.planned.push(delay); return real(call, delay); };"""


def setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"Set {name}: the top of {Path(__file__).name} says what it is.", pytrace=False)
    return value


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    started.execute_cdp_cmd("Network.enable", {})
    login = base64.b64encode(f"operator:{setting('LLM_DASHBOARDS_PASSWORD')}".encode()).decode()
    started.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Authorization": f"Basic {login}"}})
    yield started
    started.quit()


def show(browser: webdriver.Chrome, page: str, size: tuple[int, int], scheme: str) -> dict[str, Any]:
    """Open a dashboard, wait until all its questions are answered, and return what is seen."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")
    browser.get(f"{setting('LLM_DASHBOARDS_URL')}#show={page}&range=3600")
    WebDriverWait(browser, 60).until(lambda _: browser.execute_script(STATE))
    if folder := os.environ.get("LLM_DASHBOARDS_PICTURES"):
        browser.save_screenshot(f"{folder}/dashboards-{page}-{size[0]}-{scheme}.png")
    seen: dict[str, Any] = browser.execute_script(SEEN)
    return seen


@pytest.mark.parametrize("page", PAGES)
def test_every_dashboard_is_drawn_without_a_fault(browser: webdriver.Chrome, page: str) -> None:
    seen = show(browser, page, DESKTOP, "light")
    assert seen["bad"] == 0, seen
    assert set(seen["said"]) <= {"Nothing to show in this time.", "Nothing to show now."}
    # A machine without cards says so in the place of each chart.
    assert seen["charts"] == 0 if page == "gpu" else seen["charts"] >= 8


def test_a_phone_shows_it_without_scrolling_sideways_and_colours_follow_the_system(browser: webdriver.Chrome) -> None:
    light, dark = (show(browser, "fleet", PHONE, scheme) for scheme in ("light", "dark"))
    assert light["width"] == dark["width"] == PHONE[0]
    assert light["ground"] != dark["ground"]
    assert light["numbers"][1] == "0", "every replica answers"


def test_a_chart_has_its_values_as_a_table(browser: webdriver.Chrome) -> None:
    show(browser, "fleet", DESKTOP, "light")
    browser.execute_script("document.querySelector('details').open = true")
    table = "return document.querySelector('details table')?.innerText ?? ''"
    text = WebDriverWait(browser, 10).until(lambda _: browser.execute_script(table))
    assert text.split("\n")[0].split("\t") == ["Series", "Now", "Least", "Mean", "Most"]
    assert "chat" in text


def test_nothing_is_asked_of_others_and_it_is_there_at_once(browser: webdriver.Chrome) -> None:
    show(browser, "fleet", DESKTOP, "light")
    painted = browser.execute_script("return performance.getEntriesByType('paint')[0].startTime")
    assert painted < 1000, "the first paint"
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    base = setting("LLM_DASHBOARDS_URL")
    assert not [url for url in urls if not url.startswith((base, "data:", "about:"))]
    assert not [entry for entry in browser.get_log("browser") if "Content Security Policy" in entry["message"]]


def test_nothing_is_asked_while_nobody_looks(browser: webdriver.Chrome) -> None:
    show(browser, "fleet", DESKTOP, "light")
    browser.execute_script(WATCH)
    planned = "document.dispatchEvent(new Event('visibilitychange')); return window.planned.splice(0)"
    assert [delay for delay in browser.execute_script(planned) if 1000 < delay <= 30000], "the next refresh"
    browser.execute_script("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
    assert browser.execute_script(planned) == []
