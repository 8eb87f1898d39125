"""`morai-sim status` as a user meets it: a process that asks another one."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mqtt5
import pytest

from certs.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = """
import typer
from certs.terminal import run_app
from simulator.cli.core import core
from simulator.cli.status import status
app = typer.Typer()
app.command()(core)
app.command()(status)
run_app(app, "morai-sim")
"""


def command(*arguments: object) -> list[str]:
    """The command line of a stand-in and of asking it, without the rest of it."""
    return [sys.executable, "-c", RUN, *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def serving(store: Store, *options: object) -> Iterator[int]:
    """Run a stand-in in its own process; gives its port."""
    with subprocess.Popen(
        command("core", "--store", store.root, "--port", 0, "--json", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.kill()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with two things."""
    found = Store(tmp_path_factory.mktemp("identities"))
    found.init_authority()
    found.issue_server()
    list(found.issue_things(["car-1", "operator"]))
    return found


@pytest.fixture(scope="module")
def port(store: Store) -> Iterator[int]:
    """The port of a stand-in that nothing happens to."""
    with serving(store) as found:
        yield found


def publish_too_fast(store: Store, port: int, count: int) -> socket.socket:
    """Connect as car-1 and publish at once; gives the open connection."""
    identity = store.identity("car-1")
    context = ssl.create_default_context(cafile=store.ca_certificate_path)
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    plain = socket.create_connection(("127.0.0.1", port))
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.settimeout(20)
    connection.sendall(mqtt5.ConnectPacket("car-1", clean_start=True).write())
    assert connection.recv(1000)[3] == 0
    publish = mqtt5.PublishPacket("t", b"x").write()
    connection.sendall(publish * count + mqtt5.PingReqPacket().write())
    assert connection.recv(2) == b"\xd0\x00"
    return connection


def test_a_quiet_stand_in_is_well(store: Store, port: int) -> None:
    """Exit code 0 and a table; the CA of the store is trusted without a word."""
    done = run("status", "--url", f"https://127.0.0.1:{port}", "--store", store.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"stand-in on 127.0.0.1 port {port}" in done.stdout
    assert "2 certificates" in done.stdout
    assert "shadows" in done.stdout
    assert f'endpoint_url="https://127.0.0.1:{port}"' in done.stdout.replace("\n", "")
    assert "\x1b" not in done.stdout


def test_in_a_pipe_no_line_is_padded_or_cut(store: Store, port: int) -> None:
    """What is not a terminal gets whole lines, however narrow COLUMNS is, and no blanks at ends."""
    done = run("status", "--url", f"https://127.0.0.1:{port}", "--store", store.root)

    lines = done.stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    [api] = [line for line in lines if line.startswith("AWS API")]
    assert api.endswith("0 requests, 0 refused")


def test_refusals_are_told_and_are_the_exit_code(store: Store) -> None:
    """Exit code 1, who was refused how often and why, and the busiest clients."""
    with serving(store) as port, publish_too_fast(store, port, 300):
        done = run("status", "--url", f"localhost:{port}", "--store", store.root)
        as_json = run("status", "--url", f"localhost:{port}", "--store", store.root, "--json")
    assert done.returncode == as_json.returncode == 1
    text = " ".join(done.stdout.split())
    assert "publishes and deliveries of car-1: more than 100 a second on one connection" in text
    assert "busiest clients" in text
    document = json.loads(as_json.stdout)
    assert document["totals"]["publishes_in"] == 300
    assert document["talkers"][0]["client_id"] == "car-1"


def test_watching_goes_on_until_it_stops(store: Store, port: int) -> None:
    """One line for each answer, when nobody sits at a terminal."""
    url = f"https://127.0.0.1:{port}"
    with subprocess.Popen(
        command("status", "--url", url, "--store", store.root, "--watch", "--every", "50ms"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.kill()
    assert all(line.startswith(f"port {port}: connections 0, in 0") for line in lines)


def test_no_answer_is_explained(store: Store) -> None:
    """Exit code 3, and how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        free = found.getsockname()[1]
    done = run("status", "--url", f"https://127.0.0.1:{free}", "--store", store.root)
    assert done.returncode == 3
    assert str(free) in done.stderr
    assert "morai-sim core" in done.stderr


def test_a_stand_in_of_somebody_else_is_not_trusted(port: int, tmp_path: Path) -> None:
    """Exit code 3: its certificate is of another CA."""
    other = Store(tmp_path / "other")
    other.init_authority()
    done = run("status", "--url", f"https://127.0.0.1:{port}", "--store", other.root)
    assert done.returncode == 3
    assert "cannot be trusted" in done.stderr


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9\r\n", b""])
def test_something_else_behind_the_port_is_explained(store: Store, answer: bytes) -> None:
    """Exit code 3, whatever it says."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        done = run("status", "--url", url, "--store", store.root)
        thread.join()
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_stand_in_without_pages_is_explained(store: Store) -> None:
    """Exit code 3, and the reason."""
    with serving(store, "--no-status") as port:
        done = run("status", "--url", f"https://127.0.0.1:{port}", "--store", store.root)
    assert done.returncode == 3
    assert "--no-status" in done.stderr


def test_who_may_not_ask_is_told_what_to_do(store: Store, tmp_path: Path) -> None:
    """Exit code 3 for the loopback that is closed, 0 as the thing that is named."""
    path = tmp_path / "core.yaml"
    path.write_text("status: {loopback: false, readers: [operator]}\n")
    with serving(store, "--config", path) as port:
        url = f"https://127.0.0.1:{port}"
        refused = run("status", "--url", url, "--store", store.root)
        granted = run("status", "--url", url, "--store", store.root, "--thing", "operator")
    assert refused.returncode == 3
    assert "status.readers" in refused.stderr
    assert (granted.returncode, granted.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://localhost:8883"], "--url"),
        (["--url", "https://localhost:port"], "--url"),
        (["--url", "https://localhost:8883/_core/status"], "--url"),
        (["--thing", "nobody"], "nobody"),
        (["--ca", "nowhere.pem"], "nowhere.pem"),
    ],
)
def test_wrong_options_are_explained(store: Store, arguments: list[str], words: str) -> None:
    """Exit code 2, naming what is wrong, before anything is asked."""
    done = run("status", "--store", store.root, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_without_a_ca_is_explained(tmp_path: Path) -> None:
    """Exit code 2: there is nobody to trust."""
    done = run("status", "--store", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "--ca" in done.stderr
