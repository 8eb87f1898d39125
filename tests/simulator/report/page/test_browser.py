"""The page in a real browser, where one is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from simulator.report.page import render
from simulator.report.result import Result
from simulator.report.verdict import judge
from tests.simulator.report import records_of_a_run
from tests.simulator.report.page.reading_a_page import ReadPage

if TYPE_CHECKING:
    from pathlib import Path

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome is installed")

# Presses what a reader may press and writes down on the page what came of it.
DRIVER = """
const notes = {};
const press = (element) => element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
const inked = (canvas) => {
  if (!canvas.width) return false;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, index) => index % 4 === 3 && value > 0);
};
const later = () => new Promise((done) => setTimeout(done, 50));
(async () => {
  await later();
  const plots = [...document.querySelectorAll(".plot canvas")];
  notes.plots = plots.length;
  notes.inked = plots.filter(inked).length;
  const [all, , drive] = document.querySelectorAll("button.zoom");
  press(drive);
  await later();
  notes.zoomed = drive.getAttribute("aria-pressed") + " " + all.getAttribute("aria-pressed");
  const select = document.querySelector("#chart-latency select");
  select.selectedIndex = 2;
  select.dispatchEvent(new Event("change"));
  await later();
  notes.reading = document.querySelector("#chart-latency .reading").textContent;
  const line = document.querySelector("#chart-latency .legend button");
  press(line);
  notes.hidden = line.getAttribute("aria-pressed");
  dispatchEvent(new Event("beforeprint"));
  notes.print = document.querySelectorAll("details:not([open])").length;
  dispatchEvent(new Event("afterprint"));
  notes.after = document.querySelectorAll("details:not([open])").length;
  notes.wide = document.documentElement.scrollWidth <= innerWidth;
  for (const [name, value] of Object.entries(notes)) document.body.dataset[name] = value;
  document.body.dataset.done = "yes";
})();
"""


def opened(folder: Path, page: str, *, width: int = 1280) -> tuple[ReadPage, str]:
    """The page after its scripts ran, and what the browser complained about."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},1600",
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        timeout=100,
        check=True,
    )
    complaints = [
        line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line
    ]
    return ReadPage(done.stdout.decode("utf-8")), "\n".join(complaints)


def test_every_chart_is_drawn_without_a_complaint(tmp_path: Path) -> None:
    """Under its own content security policy the page draws all charts and the console is empty."""
    result = records_of_a_run.result()
    page = render(result, judge(result))
    charts = ReadPage(page).figures["charts"]

    seen, complaints = opened(tmp_path, page)

    assert complaints == ""
    assert seen.values_of("data-drawn") == [str(len(charts))]
    assert [tag for tag, _ in seen.elements].count("canvas") >= len(charts)


def test_what_a_reader_presses_works(tmp_path: Path) -> None:
    """Charts have ink; phases zoom, latencies change, lines hide, and all is open on paper."""
    result = records_of_a_run.result()
    page = render(result, judge(result))
    # The policy would refuse the driver, as it should.
    driven = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace(
        "</body>", f"<script>{DRIVER}</script></body>"
    )

    seen, complaints = opened(tmp_path, driven)

    (body,) = [attributes for tag, attributes in seen.elements if tag == "body"]
    assert complaints == ""
    assert body["data-done"] == "yes"
    assert body["data-plots"] == body["data-inked"] == str(len(seen.figures["charts"]))
    assert body["data-zoomed"] == "true false"
    assert "Intended send time of a command to its final answer." in body["data-reading"]
    assert body["data-hidden"] == "false"
    assert body["data-print"] == "0"
    assert int(body["data-after"]) > 0
    assert body["data-wide"] == "true"


def test_an_empty_run_draws_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    """The page of a run without records opens like any other."""
    result = Result()

    seen, complaints = opened(tmp_path, render(result, judge(result)), width=500)

    assert complaints == ""
    assert seen.values_of("data-drawn") == ["0"]
