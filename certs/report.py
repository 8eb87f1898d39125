"""Identities and findings as people and machines read them: tables, lines and JSON values.

Owns the look of what `morai-certs` prints on success. Decides nothing: facts and findings come in
ready-made.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from certs.inspection import WARNING_DAYS, CertificateFacts, Finding, Verdict
from certs.terminal import console, print_table, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certs.errors import EdgeError

_STYLES: Final = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAILED: "bold red"}
_SHORT_ID: Final = 12
_ISSUER_WIDTH: Final = 25
_WIDE_TERMINAL: Final = 140
_MAX_IDENTITIES_SHOWN: Final = 50


def print_json(value: Any) -> None:
    """Print a value as indented JSON; times become ISO 8601."""
    # Written past rich, which would fold long strings to the terminal's width.
    console().file.write(json.dumps(value, indent=2, default=_json_default) + "\n")


def facts_as_json(facts: CertificateFacts) -> dict[str, Any]:
    """The facts of a certificate as a JSON object."""
    return {"kind": "certificate", **asdict(facts)}


def print_things(things: Mapping[str, CertificateFacts | EdgeError]) -> None:
    """Print one row a thing; a thing whose certificate cannot be read shows why.

    A narrow terminal gets the beginning of the certificate id and no kind of key, so that each
    thing stays on one line.
    """
    out = console()
    wide = not out.is_terminal or out.width >= _WIDE_TERMINAL
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("thing", overflow="fold")
    table.add_column("valid until", no_wrap=True)
    table.add_column("days", justify="right", no_wrap=True)
    if wide:
        table.add_column("key", no_wrap=True)
    table.add_column("issued by", no_wrap=True, overflow="ellipsis")
    table.add_column("certificate id", no_wrap=True)
    for name, facts in things.items():
        if isinstance(facts, CertificateFacts):
            end, days = (
                f"{facts.not_after:%Y-%m-%d}",
                Text(f"{facts.days_left:,}", _days_style(facts)),
            )
            key, issuer, id_ = (
                facts.key_type,
                Text(printable(facts.issuer_name)),
                facts.certificate_id,
            )
        else:
            end, days, key, id_ = "-", Text("-"), "-", "-"
            issuer = Text("unreadable: see check", "bold red")
        if wide:
            table.add_row(name, end, days, key, issuer, id_)
        else:
            if len(issuer) > _ISSUER_WIDTH:
                issuer.truncate(_ISSUER_WIDTH, overflow="ellipsis")
            table.add_row(name, end, days, issuer, id_[:_SHORT_ID])
    print_table(table)


def print_facts(title: str, facts: CertificateFacts) -> None:
    """Print everything a certificate says, one fact a line."""
    rows: list[tuple[str, str | Text]] = [
        ("subject", facts.subject),
        ("issuer", facts.issuer + (" (itself)" if facts.is_self_signed else "")),
        ("certificate id", facts.certificate_id),
        ("serial number", facts.serial_number),
        ("valid from", f"{facts.not_before:%Y-%m-%d %H:%M} UTC"),
        ("valid until", f"{facts.not_after:%Y-%m-%d %H:%M} UTC"),
        ("days left", Text(f"{facts.days_left:,}", style=_days_style(facts))),
        ("key", facts.key_type),
        ("signed with", facts.signature_hash),
        ("thing", facts.thing or "-"),
        ("names", Text("\n".join(printable(name) for name in facts.alternative_names) or "-")),
        ("key usage", ", ".join(facts.key_usages) or "not limited"),
        ("purpose", ", ".join(facts.purposes) or "not limited"),
        ("CA", "yes" if facts.is_authority else "no"),
    ]
    print_rows(title, rows)


def print_rows(title: str, rows: Sequence[tuple[str, str | Text]]) -> None:
    """Print a title and name-value lines below it."""
    console().print(Text(printable(title), "bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="cyan")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value if isinstance(value, Text) else Text(printable(value)))
    print_table(table)


def print_findings(audit: Mapping[str, Sequence[Finding]], *, every: bool) -> None:
    """Print findings grouped by identity, each with what to do about it.

    Args:
        audit: The findings of each identity.
        every: Also those that are ok. Otherwise an identity without anything to report is one line,
            and beyond 50 such identities only their number.
    """
    quiet = [name for name, findings in audit.items() if _worst(findings) is Verdict.OK]
    collapse = not every and len(quiet) > _MAX_IDENTITIES_SHOWN
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    width = max((len(finding.check) for each in audit.values() for finding in each), default=0)
    for name, findings in audit.items():
        worst = _worst(findings)
        if worst is Verdict.OK and collapse:
            continue
        table.add_row(_verdict(worst), Text(printable(name), "bold"))
        for finding in findings:
            if every or finding.verdict is not Verdict.OK:
                table.add_row("", _finding(finding, width))
    print_table(table)
    if collapse:
        console().print(Text.assemble(_verdict(Verdict.OK), f"      {len(quiet):,} identities"))


def findings_as_json(audit: Mapping[str, Sequence[Finding]]) -> list[dict[str, str]]:
    """Findings as JSON objects, in the order of the audit."""
    return [
        {
            "identity": name,
            "check": finding.check,
            "verdict": finding.verdict.value,
            "what": finding.what,
            "remedy": finding.remedy,
        }
        for name, findings in audit.items()
        for finding in findings
    ]


def _finding(finding: Finding, width: int) -> Table:
    lines = Table(box=None, pad_edge=False, show_header=False)
    lines.add_column(no_wrap=True, min_width=width)
    lines.add_column(overflow="fold")
    lines.add_row(
        Text(finding.check, style=_STYLES[finding.verdict]), Text(printable(finding.what))
    )
    if finding.remedy:
        lines.add_row("", Text.assemble(("do: ", "bold"), printable(finding.remedy)))
    return lines


def _verdict(verdict: Verdict) -> Text:
    word = "FAILED" if verdict is Verdict.FAILED else verdict.value
    return Text(word, style=_STYLES[verdict])


def _worst(findings: Sequence[Finding]) -> Verdict:
    found = {finding.verdict for finding in findings}
    return next((each for each in (Verdict.FAILED, Verdict.NOTE) if each in found), Verdict.OK)


def _days_style(facts: CertificateFacts) -> str:
    if facts.days_left < 0:
        return "bold red"
    return "yellow" if facts.days_left < WARNING_DAYS else "green"


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
