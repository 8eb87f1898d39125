"""`morai-agent check`: could the agent do its work here, and if not, what to do about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from certs.errors import EXIT_CHECK_FAILED
from certs.terminal import error_console


def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")] = Path(
        "agent.toml"
    ),
    listen_s: Annotated[
        float, typer.Option("--listen", min=0.1, max=60, help="Seconds to listen for MORAI SIM.")
    ] = 3.0,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Try CONNECT even if an agent seems to run here."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Check certificates, clock, ports, broker and simulator; say what to do about each problem.

    Nothing is changed, and no command that waits at the broker is taken. Exit code 1 when something
    would keep the agent from working.

    Examples:

      morai-agent check

      morai-agent check --listen 10 --json
    """
    # These spare --help the load time of the SDK, the map projections and X.509.
    from agent.configuration import load_configuration  # noqa: PLC0415 - see above
    from agent.preflight.audit import audit  # noqa: PLC0415 - see above
    from certs.inspection import Verdict  # noqa: PLC0415 - see above
    from certs.report import findings_as_json, print_findings, print_json  # noqa: PLC0415 - see above

    configuration = load_configuration(config)
    with error_console().status("Checking ..."):
        found = asyncio.run(audit(configuration, listen_s=listen_s, connect=connect))
    if as_json:
        print_json(findings_as_json(found))
    else:
        print_findings(found, every=True)
    if any(f.verdict is Verdict.FAILED for findings in found.values() for f in findings):
        raise typer.Exit(EXIT_CHECK_FAILED)
