"""A real browser without a screen, for the pages that the package writes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def opened(page: Path, width: int = 1280, height: int = 800, scheme: str = "light") -> Iterator[Any]:
    """A page in Chromium; until the end it may write nothing to its console and ask for no address."""
    driver = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: said.append(request.url) if _leaves(request.url) else None)
        tab.goto(page.as_uri())
        tab.wait_for_function("() => document.querySelector('.row[aria-selected=true]')")
        yield tab
        browser.close()
        assert not said, "\n".join(said)


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:"))
