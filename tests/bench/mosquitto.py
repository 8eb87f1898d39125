"""A mosquitto of the run's own: mutual TLS required, a CA made for the run, a free port.

Owns the configuration and the life of the broker's process. It must not know what is measured.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.figure import NotMeasurableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certs.store import Store

_SYSTEM_FOLDERS: Final = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
_START_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A broker that runs.

    Attributes:
        port: On 127.0.0.1.
        pid: Its process.
        version: As it says itself.
    """

    port: int
    pid: int
    version: str


def installed() -> str | None:
    """The program, or None."""
    # System programs are not on everybody's search path.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_FOLDERS)


@contextlib.contextmanager
def mosquitto(store: Store) -> Iterator[Mosquitto]:
    """A broker that takes clients with a certificate of the store's CA, and no others.

    The process inherits the limit on open files; raise it before.

    Args:
        store: Has an authority; the server's certificate is made here.

    Raises:
        NotMeasurableError: mosquitto is not installed, or does not start.
    """
    program = installed()
    if program is None:
        raise NotMeasurableError("mosquitto is not installed")
    server = store.issue_server(["127.0.0.1"])
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            f"listener {port} 127.0.0.1",
            f"cafile {store.ca_certificate_path}",
            f"certfile {server.certificate_path}",
            f"keyfile {server.key_path}",
            "require_certificate true",
            "allow_anonymous true",
            "persistence false",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type error",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Otherwise it becomes another user, who may not read the keys.
            settings.append("user root")
        path = Path(folder) / "mosquitto.conf"
        path.write_text("\n".join(settings) + "\n", encoding="utf-8")
        process = subprocess.Popen([program, "-c", str(path)], stderr=subprocess.PIPE)
        try:
            _wait_until_open(process, port)
            yield Mosquitto(port, process.pid, _version(program))
        finally:
            process.terminate()
            process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    process.kill()
    text = process.communicate()[1].decode("utf-8", "replace").strip()
    raise NotMeasurableError(f"mosquitto did not start: {text or 'its port stays closed'}")


def _version(program: str) -> str:
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].removeprefix("mosquitto version ").strip()
