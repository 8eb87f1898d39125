"""One agent as a process of the operating system: its logs, its signals and its end.

Owns what belongs to a process and not to a bridge. SIGTERM, Ctrl-C, a closed terminal (SIGHUP) and
on Windows Ctrl-Break ask for an orderly end; asking twice ends at once, and even then the car is
told to stop first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING, Any, Final

import structlog

from agent.bridge.assembly import udp_link
from agent.bridge.runtime import Bridge
from agent.configuration import load_configuration
from agent.logs import structured_logs
from certs.permissions import read_private_key_guard

if TYPE_CHECKING:
    from pathlib import Path

    from agent.configuration import AgentConfiguration

log = structlog.get_logger(__name__)

# What a shell reports for a process ended by Ctrl-C.
EXIT_INTERRUPTED: Final = 130


def run_agent(config: Path) -> None:
    """Run one agent until it is told to stop.

    Args:
        config: Its configuration file.

    Raises:
        ConfigurationError: The file, the key or the certificate cannot be used.
        LinkError: A port is not available.
        StorageError: The command ledger cannot be opened.
    """
    configuration = load_configuration(config)
    read_private_key_guard(configuration.broker.private_key)
    with structured_logs(configuration.log, thing=configuration.vehicle.thing):
        asyncio.run(_run(configuration))


async def _run(configuration: AgentConfiguration) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray_exception)
    bridge = Bridge(configuration, udp_link(configuration), boot_id=uuid.uuid4().hex[:16])
    _on_stop_signals(loop, stop, bridge)
    await bridge.run(stop)


def _log_stray_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # What nobody caught belongs into the log as well, as one event.
    log.error("defect", where=context["message"], exc_info=context.get("exception"))


def _on_stop_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, bridge: Bridge) -> None:
    def request_stop() -> None:
        if stop.is_set():
            # Asked twice: the person does not want to wait for an orderly end. The two requests
            # can come so close together that nothing was sent yet. The broker publishes the will.
            bridge.stop_the_car_at_once()
            os._exit(EXIT_INTERRUPTED)
        stop.set()

    names = ["SIGINT", "SIGTERM"] + (["SIGBREAK"] if sys.platform == "win32" else ["SIGHUP"])
    for number in (getattr(signal, name) for name in names):
        if sys.platform == "win32":
            # No add_signal_handler there; the handler runs between bytecodes of the main thread.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(request_stop))
        else:
            loop.add_signal_handler(number, request_stop)
