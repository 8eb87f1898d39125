"""`morai-agent run`: the bridge, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")] = Path(
        "agent.toml"
    ),
) -> None:
    """Bridge the simulated car to the broker until Ctrl-C or SIGTERM.

    On the way out the car is brought to a stop, the last telemetry is delivered, and the health
    document says offline. Asked to stop a second time, it ends at once.

    Examples:

      morai-agent run

      morai-agent run -c /etc/morai/agent.toml 2> agent.log

      MORAI_AGENT_LOG__LEVEL=debug morai-agent run
    """
    from agent.bridge.daemon import run_agent  # noqa: PLC0415 - spares --help the SDK's load time

    run_agent(config)
