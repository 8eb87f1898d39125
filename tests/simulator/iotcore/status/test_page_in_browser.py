"""The page for people in a real browser, where one is installed."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.simulator.iotcore.status.running import running

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Store

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
HOSTILE = "<img src=x onerror=alert(1)>\u202eevil"
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")


async def seen(folder: Path, url: str) -> str:
    """The page as the browser has it after a few seconds of its own time."""
    assert BROWSER is not None
    process = await asyncio.create_subprocess_exec(
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        # The CA of the test is not the browser's business.
        "--ignore-certificate-errors",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return out.decode()


def text_of(markup: str) -> str:
    """What a reader reads."""
    return html.unescape(re.sub(r"<[^>]+>", " ", markup))


async def test_it_shows_what_goes_on_and_takes_names_as_text(store: Store, tmp_path: Path) -> None:
    """Connections, refusals and talkers are there; a hostile client id is words and no markup."""
    async with running(store) as core, core.client("car-1", HOSTILE) as car:
        await car.publish(150)
        page = await seen(tmp_path, f"https://127.0.0.1:{core.server.port}/_core/")
    shown = " ".join(text_of(page).split())
    assert "AWS IoT Core stand-in running" in shown
    assert "1 sessions" in shown
    assert "150 in all" in shown
    assert "more than 100 a second on one connection" in shown
    assert "<img src=x onerror=alert(1)>\\u{202e}evil" in shown
    assert "<img" not in page
    assert "Quotas of default" in shown
