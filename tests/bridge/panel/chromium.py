"""A browser for tests."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

WIDE, NARROW = (1280, 900), (360, 740)


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """The system's own Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("This test needs a browser; type: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser, url: str, *, size: tuple[int, int] = WIDE, theme: str = "light"
) -> Iterator[Page]:
    """A page of a browser that has never been there; nothing may go wrong in its scripts."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        accept_downloads=True,
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault.stack)))
    page.on("console", lambda said: faults.append(said.text) if _is_fault(said.text) else None)
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert faults == []


def _is_fault(text: str) -> bool:
    return "Content Security Policy" in text or "Uncaught" in text
