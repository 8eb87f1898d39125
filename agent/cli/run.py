"""`morai-agent run`: the bridge, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.bridge.assembly import udp_link
from agent.bridge.runtime import Bridge
from agent.configuration import load_configuration
from agent.logs import configure_logs
from certs.permissions import read_private_key_guard

if TYPE_CHECKING:
    from agent.configuration import AgentConfiguration


def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration file.")] = Path(
        "agent.toml"
    ),
) -> None:
    """Bridge the simulated car to the broker until Ctrl-C or SIGTERM.

    On the way out the car is brought to a stop, the last telemetry is delivered, and the health
    document says offline.

    Examples:

      morai-agent run

      morai-agent run -c /etc/morai/agent.toml 2> agent.log

      MORAI_AGENT_LOG__LEVEL=debug morai-agent run
    """
    configuration = load_configuration(config)
    configure_logs(configuration.log, thing=configuration.vehicle.thing)
    read_private_key_guard(configuration.broker.private_key)
    asyncio.run(_run(configuration))


async def _run(configuration: AgentConfiguration) -> None:
    stop = asyncio.Event()
    _on_stop_signals(asyncio.get_running_loop(), stop)
    bridge = Bridge(configuration, udp_link(configuration), boot_id=uuid.uuid4().hex[:16])
    await bridge.run(stop)


def _on_stop_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def request_stop() -> None:
        if stop.is_set():
            # Asked twice: the person does not want to wait for an orderly end.
            os._exit(130)
        stop.set()

    names = ["SIGINT", "SIGTERM"] + (["SIGBREAK"] if sys.platform == "win32" else [])
    for number in (getattr(signal, name) for name in names):
        if sys.platform == "win32":
            # No add_signal_handler there; the handler runs between bytecodes of the main thread.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(request_stop))
        else:
            loop.add_signal_handler(number, request_stop)
