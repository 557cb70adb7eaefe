# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A person opens the chat page in Chromium, logs in, asks something and watches the answer appear.

LLM_CHAT_URL       the page, e.g. https://chat.localhost:8444
LLM_CHAT_EMAIL     who logs in
LLM_CHAT_PASSWORD  with which password
LLM_CHAT_PROMPT    what to ask (default: What is nginx for?)
LLM_CHAT_ANSWER    regular expression that the answer must match (default: anything)
LLM_CHAT_ADDRESS   address of the page's host, where no name service knows it (default: ask the name service)
LLM_SCREENSHOT     where to keep the picture (default: nowhere)

It needs Debian's `chromium` and `chromium-driver` and PyPI's `selenium`.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new",
    # Tests run as root in containers, where Chromium has no sandbox of its own.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # The browser itself asks nothing of the outside, so that every request seen is the page's.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # The page's certificate may be the fleet's own; that it is valid is tested with OpenSSL, not here.
    "--ignore-certificate-errors",
)
SIZE = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
TOLD: list[dict[str, Any]] = []
# How long the text must stay the same to count as whole.
SETTLED = 5.0


def setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        pytest.fail(f"Set {name}: the top of {Path(__file__).name} says what it is.", pytrace=False)
    return value


def events(browser: webdriver.Chrome, method: str) -> list[dict[str, Any]]:
    """What the page did on the network, as the DevTools protocol tells it."""
    # The browser tells each event once.
    TOLD.extend(json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [event["params"] for event in TOLD if event["method"] == method]


def answer_pieces(browser: webdriver.Chrome) -> list[float]:
    """When the pieces of the answer came over the page's socket, in seconds of the browser's clock."""
    frames = events(browser, "Network.webSocketFrameReceived")
    return [frame["timestamp"] for frame in frames if ".delta" in frame["response"]["payloadData"]]


def keep_picture(browser: webdriver.Chrome) -> None:
    path = os.environ.get("LLM_SCREENSHOT")
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(path)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    flags = [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    address = os.environ.get("LLM_CHAT_ADDRESS")
    if address:
        flags.append(f"--host-resolver-rules=MAP {urlsplit(setting('LLM_CHAT_URL')).hostname} {address}")
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
    yield driver
    driver.quit()


OBSERVE = """
window.answerStates = [];
new MutationObserver(() => {
  const text = ([...document.querySelectorAll('.chat-assistant')].at(-1)?.textContent ?? '').trim();
  if (text && text !== window.answerStates.at(-1)) window.answerStates.push(text);
}).observe(document.body, {childList: true, subtree: true, characterData: true});
"""


class Page:
    """The chat page as far as this test uses it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url

    def find(self, selector: str, seconds: float = 60) -> WebElement:
        wait = WebDriverWait(self.browser, seconds)
        return wait.until(lambda b: b.find_element(By.CSS_SELECTOR, selector), f"no {selector} after {seconds:.0f} s")

    def log_in(self, email: str, password: str) -> None:
        self.browser.get(self.url)
        self.find("#email").send_keys(email)
        self.find("#password").send_keys(password + Keys.ENTER)
        self.find("#chat-input", 30)

    def ask(self, prompt: str) -> None:
        # The page itself notes how the answer grows: a small model is done between two looks from outside.
        self.browser.execute_script(OBSERVE)
        self.find("#chat-input").send_keys(prompt)
        self.find("#send-message-button").click()

    def watch_answer(self, seconds: float = 120) -> list[str]:
        """Every state of the answer, until it no longer changes."""
        count, changed = 0, time.monotonic()
        end = changed + seconds
        while time.monotonic() < end:
            states = list(self.browser.execute_script("return window.answerStates"))
            if len(states) != count:
                count, changed = len(states), time.monotonic()
            if states and time.monotonic() > changed + SETTLED:
                return states
            time.sleep(0.2)
        raise AssertionError(f"the answer was not whole after {seconds:.0f} s, it got {count} states")

    def report(self) -> str:
        """All that helps to see why it failed."""
        try:
            text = str(self.browser.execute_script("return document.body.innerText"))
            console = [f"{line['level']} {line['message']}" for line in self.browser.get_log("browser")]
            # A page that tries again and again says the same again and again.
            return "\n".join([f"--- {self.browser.current_url} shows", text, "--- console", *dict.fromkeys(console)])
        except WebDriverException as error:
            return f"--- the browser itself failed: {error.msg}"


def test_answer_streams_into_the_page_and_nothing_is_asked_outside(browser: webdriver.Chrome) -> None:
    url = setting("LLM_CHAT_URL")
    email, password = setting("LLM_CHAT_EMAIL"), setting("LLM_CHAT_PASSWORD")
    page = Page(browser, url)
    try:
        page.log_in(email, password)
        page.ask(os.environ.get("LLM_CHAT_PROMPT", "What is nginx for?"))
        states = page.watch_answer()
        keep_picture(browser)
        # A busy browser paints several pieces at once, so what counts is how the pieces reached the page.
        pieces = answer_pieces(browser)
        assert len(pieces) >= 3, f"the answer came in {len(pieces)} pieces, the page showed {len(states)} states of it"
        assert pieces[-1] > pieces[0], "all pieces of the answer came at once"
        assert re.search(os.environ.get("LLM_CHAT_ANSWER", "."), states[-1]), f"unexpected answer: {states[-1]!r}"

        opened = [event["url"] for event in events(browser, "Network.webSocketCreated")]
        asked = [event["request"]["url"] for event in events(browser, "Network.requestWillBeSent")]
        # The browser's own pages (chrome:) and what a page holds itself (data:, blob:) go nowhere.
        sent = [u for u in asked + opened if urlsplit(u).scheme in ("http", "https", "ws", "wss")]
        assert sent, "the browser's log of requests is empty"
        outside = {u for u in sent if urlsplit(u).netloc != urlsplit(url).netloc}
        assert not outside, f"the page sent the browser outside: {sorted(outside)}"
    except (AssertionError, WebDriverException) as error:
        keep_picture(browser)
        # Addresses inside of Chromium tell nobody anything.
        reason = str(error).partition("Stacktrace:")[0].strip()
        pytest.fail(f"{reason}\n{page.report()}".replace(password, "***"), pytrace=False)
