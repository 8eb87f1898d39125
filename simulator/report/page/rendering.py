"""The page as one HTML file: template, style, scripts and data put together.

Owns the promise that the file loads nothing and that no text of a result is ever markup or script:
everything is escaped, and a content security policy allows exactly the scripts and the style that
are in the file, by their hashes (Content Security Policy Level 3, 2.3.1 and 8.4). Knows nothing
about figures.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from certs.terminal import printable
from simulator.report.page.figures import json_for_html
from simulator.report.page.overview import page_of

if TYPE_CHECKING:
    from jinja2 import Template

    from simulator.report.result import Result
    from simulator.report.verdict import Verdict

_FILES: Final = resources.files(__package__)


def render(result: Result, verdict: Verdict) -> str:
    """The report of a run as one HTML file that works from a disk and offline.

    Args:
        result: The run, complete or not.
        verdict: What `simulator.report.verdict.judge` says of it.

    Returns:
        The text of the file, to be written as UTF-8.
    """
    page = page_of(result, verdict)
    style = _file("vendor/uPlot.min.css") + "\n" + _file("report.css")
    plotter, script = _file("vendor/uPlot.iife.min.js"), _file("charts.js")
    return _template().render(
        page=page,
        policy=_policy(style, plotter, script),
        style=_ours(style),
        plotter=_ours(plotter),
        script=_ours(script),
        data=_ours(json_for_html(page.charts.as_json())),
        notice=_file("vendor/uPlot.LICENSE"),
    )


def _policy(style: str, *scripts: str) -> str:
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def _file(name: str) -> str:
    # The hashes are of line feeds, whatever line breaks the files got when they were checked out.
    return _FILES.joinpath(*name.split("/")).read_text("utf-8").replace("\r\n", "\n")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_visible, trim_blocks=True
    )
    return environment.from_string(_file("report.html.j2"))


def _ours(text: str) -> Markup:
    """Text that is markup already: a file of this package, or JSON made safe for HTML."""
    return Markup(text)  # noqa: S704 - never text of a result as it came


def _visible(value: Any) -> Any:
    """Text of a result with everything invisible in it written out."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, multiline=True)
    return value
