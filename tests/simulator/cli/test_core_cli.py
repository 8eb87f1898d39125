"""`morai-sim core` as a user meets it, in its own process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import mqtt5
import pytest
import structlog

from certs.store import Store
from simulator.cli.core import _log_to_standard_error
from tests.client_tls import mutual_tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = """
import typer
from certs.terminal import run_app
from simulator.cli.core import core
app = typer.Typer()
app.command()(core)
run_app(app, "core")
"""


def command(*arguments: object) -> list[str]:
    """The command line that runs `morai-sim core` alone."""
    return [sys.executable, "-c", RUN, *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one thing."""
    found = Store(tmp_path / "identities")
    found.init_authority()
    found.issue_server()
    found.issue_thing("car-1")
    return found


def test_a_missing_store_is_explained(tmp_path: Path) -> None:
    """Exit code 2 and what to do."""
    done = run("--store", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "--init" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_makes_what_is_missing(tmp_path: Path) -> None:
    """The first run on an empty machine: a CA and a server certificate, then it listens."""
    done = run("--store", tmp_path / "new", "--init", "--port", 0, "--for", "100ms", "--json")
    assert done.returncode == 0, done.stderr
    assert Store(tmp_path / "new").has_server()
    final = json.loads(done.stdout.splitlines()[-1])
    assert final["final"] is True
    assert final["port"] > 0


def test_it_says_what_to_do_next(tmp_path: Path) -> None:
    """Without a thing it names the command that makes one, and it says where its status is."""
    folder = tmp_path / "new"
    done = run("--store", str(folder), "--init", "--port", "0", "--for", "100ms")
    assert "morai-certs issue car-1" in done.stderr
    assert "morai-sim status --url https://127.0.0.1:" in done.stderr
    Store(folder).issue_thing("car-1")
    done = run("--store", str(folder), "--port", "0", "--for", "100ms")
    assert "morai-certs issue" not in done.stderr


@pytest.mark.parametrize(("host", "cautions"), [("0.0.0.0", 1), ("127.0.0.1", 0)])
def test_an_open_door_is_said(store: Store, host: str, cautions: int) -> None:
    """One line when other machines may come and no access key is checked."""
    done = run("--store", store.root, "--host", host, "--port", 0, "--for", "0.1s")
    assert done.returncode == 0
    assert done.stderr.count("any AWS access key is accepted") == cautions


def test_a_traceback_in_the_log_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Local variables are keys, tokens and passwords."""
    password = "correct horse" + " battery staple"  # the traceback quotes lines of source

    def fail(secret: str) -> None:
        raise ValueError(len(secret))

    _log_to_standard_error(live=False)
    try:
        fail(password)
    except ValueError:
        structlog.get_logger().exception("core.defect")
    finally:
        structlog.reset_defaults()
    said = capsys.readouterr().err
    assert "ValueError: 28" in said
    assert password not in said


def test_a_taken_port_is_explained(store: Store) -> None:
    """Exit code 3, naming the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--store", store.root, "--port", port)
    assert done.returncode == 3
    assert str(port) in done.stderr


def test_a_broken_policy_is_explained(store: Store, tmp_path: Path) -> None:
    """Exit code 2, naming file and statement."""
    policy = tmp_path / "vehicle.json"
    policy.write_text('{"Version": "2012-10-17", "Statement": {"Effect": "Perhaps"}}')
    done = run("--store", store.root, "--policy", policy)
    assert done.returncode == 2
    assert "vehicle" in done.stderr
    assert "statement 1" in done.stderr


def serve(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server in its own process; gives it and its port."""
    process = subprocess.Popen(
        command(*arguments, "--port", 0, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    yield process, port
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture
def running(store: Store) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server in its own process, and its port."""
    yield from serve("--store", store.root)


@pytest.fixture(params=["enforce", "observe"])
def throttled(
    request: pytest.FixtureRequest, store: Store, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A server that allows one publish in a hundred seconds, its port, and its quota mode."""
    path = tmp_path / "few.toml"
    path.write_text(
        """
        format = "morai-edge/quotas/1"
        [[quota]]
        id = "publishes-per-connection"
        limit = 0.01
        """
    )
    options = ("--quotas", path, "--quota-mode", request.param)
    for process, port in serve("--store", store.root, *options):
        yield process, port, request.param


async def say_hello(store: Store, thing: str, port: int) -> Any:
    """CONNECT as a thing; gives the CONNACK, or None when the server just closed."""
    identity = store.identity(thing)
    context = mutual_tls(identity)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(mqtt5.ConnectPacket(thing).write())
    data = await reader.read(1000)
    writer.transport.abort()
    return mqtt5.read(memoryview(data))[0] if data else None


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a Unix matter")
async def test_things_connect_also_those_issued_later(
    store: Store, running: tuple[subprocess.Popen[str], int]
) -> None:
    """Every thing of the store may connect; the last line counts; SIGTERM ends with 0."""
    process, port = running
    async with asyncio.timeout(30):
        connack = await say_hello(store, "car-1", port)
        assert int(connack.reason_code) == 0
        store.issue_thing("car-2")
        while await say_hello(store, "car-2", port) is None:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0
    final = json.loads(out.splitlines()[-1])
    assert final["totals"]["connects"] == 2
    assert final["registered"] == {"certificates": 2, "things": 2}


async def publish_too_fast(store: Store, port: int, count: int) -> int:
    """Publish at QoS 1 without waiting; gives how many PUBACKs came before that of the end."""
    identity = store.identity("car-1")
    context = mutual_tls(identity)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(mqtt5.ConnectPacket("car-1", clean_start=True).write())
    _, length = await reader.readexactly(2)
    await reader.readexactly(length)
    publish = mqtt5.PublishPacket("t", b"x", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1)
    writer.write(publish.write() * count + mqtt5.PingReqPacket().write())
    acknowledged = 0
    while await reader.readexactly(2) != b"\xd0\x00":
        await reader.readexactly(2)
        acknowledged += 1
    writer.transport.abort()
    return acknowledged


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a Unix matter")
async def test_quotas_are_in_force_and_reported(
    store: Store, throttled: tuple[subprocess.Popen[str], int, str]
) -> None:
    """What a quota file forbids is refused or only counted, and the last line says so."""
    process, port, mode = throttled
    async with asyncio.timeout(30):
        acknowledged = await publish_too_fast(store, port, 5)
    assert acknowledged == (1 if mode == "enforce" else 5)
    process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.to_thread(process.communicate, timeout=30)
    final = json.loads(out.splitlines()[-1])
    assert final["causes"] == {"quota:publishes-per-connection": 4}
    assert final["quotas"]["mode"] == mode
    words = {"enforce": "refused", "observe": "would have refused"}
    assert final["quotas"]["refusals"] == [
        {
            "quota": "publishes-per-connection",
            "refused": 4,
            "clients": [{"client_id": "car-1", "refused": 4, "excess": 0}],
            "text": f"IoT Core {words[mode]} 4 publishes and deliveries of car-1: more than 0.01 a "
            "second on one connection",
        }
    ]


def test_a_broken_quota_file_is_explained(store: Store, tmp_path: Path) -> None:
    """Exit code 2, naming file and key."""
    path = tmp_path / "quotas.toml"
    path.write_text('format = "morai-edge/quotas/1"\n[[quota]]\nid = "topic-bytes"\nlimit = "x"\n')
    done = run("--store", store.root, "--quotas", path)
    assert done.returncode == 2
    assert "quotas.toml" in done.stderr
    assert "quota[0].limit" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_configuration_it_writes_is_one_it_reads(store: Store, tmp_path: Path) -> None:
    """Written once and not over an existing file; read with an option that beats it."""
    path = tmp_path / "core.yaml"
    written = run("--write-config", path)
    again = run("--write-config", path)
    done = run("--config", path, "--store", store.root, "--port", 0, "--for", "100ms", "--json")
    assert (written.returncode, again.returncode) == (0, 2)
    assert "exists" in again.stderr
    assert "port: 8883" in path.read_text()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["port"] not in {0, 8883}


def test_the_configuration_can_be_shown() -> None:
    """With - it goes to standard output, and nowhere else."""
    shown = run("--write-config", "-")
    assert shown.returncode == 0
    assert shown.stdout.startswith("# Configuration of morai-sim core.")
    assert shown.stderr == ""


def test_a_configuration_is_followed(store: Store, tmp_path: Path) -> None:
    """Files it names lie beside it; what it switches off is off."""
    (tmp_path / "vehicle.json").write_text(
        '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Connect", '
        '"Resource": "arn:aws:iot:eu-west-1:210987654321:client/*"}}'
    )
    path = tmp_path / "core.yaml"
    path.write_text(
        f"store: {store.root}\nport: 0\npolicy: [vehicle.json]\napi: {{enabled: false}}\n"
        "quotas: low\nclock_ahead: 1h\n"
    )
    done = run("--config", path, "--for", "100ms", "--json", "--quota-mode", "observe")
    assert done.returncode == 0, done.stderr
    final = json.loads(done.stdout.splitlines()[-1])
    assert (final["region"], final["account"]) == ("eu-west-1", "210987654321")
    assert final["api"] is None
    assert (final["quotas"]["table"], final["quotas"]["mode"]) == ("low", "observe")
    assert final["clock"]["ahead_s"] == 3600
    assert "may do everything" not in done.stderr


def test_a_broken_configuration_is_explained(tmp_path: Path) -> None:
    """Exit code 2; file, line, key, value and range, for every mistake."""
    path = tmp_path / "core.yaml"
    path.write_text("port: 99999\nprot: 1\n")
    done = run("--config", path)
    assert done.returncode == 2
    assert f"{path}:1: port: 99999 is too large; the most is 65,535" in done.stderr
    assert f"{path}:2: prot: is no key here; did you mean port?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_option_is_explained(store: Store) -> None:
    """Exit code 2, naming the option as it was typed."""
    done = run("--store", store.root, "--clock-ahead", "soon")
    assert done.returncode == 2
    assert "--clock-ahead: 'soon' is no duration" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a Unix matter")
async def test_with_a_data_directory_things_survive(store: Store, tmp_path: Path) -> None:
    """A certificate that was registered before a stop is registered after the next start."""
    options = ("--store", store.root, "--data-dir", tmp_path / "data")
    for process, _ in serve(*options):
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 0
    empty = Store(tmp_path / "other")
    empty.init_authority()
    empty.issue_server()
    done = run(
        "--store",
        empty.root,
        "--data-dir",
        tmp_path / "data",
        "--port",
        0,
        "--for",
        "100ms",
        "--json",
    )
    final = json.loads(done.stdout.splitlines()[-1])
    assert final["registered"] == {"certificates": 1, "things": 1}
    assert final["persistence"]["directory"] == str(tmp_path / "data")
