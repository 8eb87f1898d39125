from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import mqtt5
import pytest

from certs.errors import LinkError, PeerError
from simulator.load.target.identities import AuthorityPem, mint_range
from simulator.load.target.opening import ClientTls
from simulator.load.target.stand_in import StandIn
from simulator.load.target.stand_in_process import CommandsByApplications, Setup
from tests.simulator.load.wire import TIMEOUT_S, connected, publish, subscribe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime.now(UTC)
AUTHORITY = AuthorityPem.make("test", NOW)
CAR, APPLICATION, STRANGER = mint_range(AUTHORITY, ["load-car-1", "load:app:1", "stranger"], NOW)
TLS = ClientTls(AUTHORITY.certificate_pem, "127.0.0.1")


def setup(policies: Literal["vehicle", "open"] = "vehicle") -> Setup:
    """What a stand-in is started with."""
    certificate, key = AUTHORITY.server_pair((), NOW)
    return Setup(certificate, key, [AUTHORITY.certificate_pem], "load", policies)


@asynccontextmanager
async def running(policies: Literal["vehicle", "open"] = "vehicle") -> AsyncIterator[StandIn]:
    """A stand-in that knows a car and an application."""
    async with StandIn(setup(policies)) as stand_in:
        await stand_in.register([(CAR.certificate_id, CAR.thing)], "vehicle")
        await stand_in.register([(APPLICATION.certificate_id, APPLICATION.thing)], "application")
        yield stand_in


async def test_it_serves_and_says_what_it_refused() -> None:
    """A car may publish below its own name only; counters, causes and process use show it."""
    async with (
        running() as stand_in,
        connected(stand_in.port, TLS, APPLICATION) as application,
        connected(stand_in.port, TLS, CAR) as car,
    ):
        assert (await application.receive()).reason_code == 0
        assert (await car.receive()).reason_code == 0
        assert (await application.ask(subscribe("dt/morai/load/+/state"))).reason_codes == [0]

        answer = await car.ask(publish("dt/morai/load/load-car-1/state"))
        refusal = await car.ask(publish("dt/morai/load/load-car-2/state"))
        delivered = await application.receive()
        status = await stand_in.status()

    assert answer.reason_code == 0
    assert refusal.reason_code == 0x87
    assert delivered.topic == "dt/morai/load/load-car-1/state"
    assert status.counters["connections"] == 2
    assert status.counters["publishes_in"] == 2
    assert status.counters["publishes_out"] == 1
    assert status.refusals == {"publish_denied": 1}
    assert status.cpu_s > 0
    assert status.resident_bytes > 10_000_000


async def test_open_policies_allow_everything() -> None:
    """With policies: open a car publishes where it likes."""
    async with running("open") as stand_in, connected(stand_in.port, TLS, CAR) as car:
        await car.receive()

        answer = await car.ask(publish("anything/at/all"))

    assert int(answer.reason_code) in {0, 0x10}  # success, or nobody subscribed


async def test_an_application_plays_the_command_service() -> None:
    """It publishes a request on the reserved topic, and gets the car's answer."""
    executions = f"$aws/commands/things/{CAR.thing}/executions"
    async with (
        running() as stand_in,
        connected(stand_in.port, TLS, APPLICATION) as application,
        connected(stand_in.port, TLS, CAR) as car,
    ):
        await application.receive()
        await car.receive()
        await car.ask(subscribe(f"{executions}/+/request/json"))
        every = "$aws/commands/things/+/executions/+/response/json"
        assert (await application.ask(subscribe(every))).reason_codes == [0]

        application.send(publish(f"{executions}/e-1/request/json", b"{}"))
        request = await car.receive()
        car.send(publish(f"{executions}/e-1/response/json", b"{}"))
        packets = [await application.receive(), await application.receive()]

    assert request.topic == f"{executions}/e-1/request/json"
    answers = [packet for packet in packets if isinstance(packet, mqtt5.PublishPacket)]
    assert [answer.topic for answer in answers] == [f"{executions}/e-1/response/json"]


def test_no_other_reserved_topics_appear() -> None:
    """Only requests can be published and only responses subscribed, with the format named."""
    topics = CommandsByApplications()

    assert not topics.may_publish("$aws/commands/things/t/executions/e/request/cbor")
    assert not topics.may_publish("$aws/events/presence/connected/t")
    assert not topics.may_subscribe("$aws/commands/things/+/executions/+/response/+")
    assert topics.may_publish("$aws/things/t/shadow/name/vehicle/update")


async def test_ten_thousand_certificates_are_registered_at_once() -> None:
    """All of them are known afterwards; one that is no id is refused by the process."""
    entries = [(f"{number:064x}", f"car-{number}") for number in range(10_000)]
    async with StandIn(setup()) as stand_in:
        assert await stand_in.register([*entries, (STRANGER.certificate_id, "stranger")], "vehicle")
        async with connected(stand_in.port, TLS, STRANGER) as wire:
            assert (await wire.receive()).reason_code == 0

        with pytest.raises(PeerError, match="64 hexadecimal digits"):
            await stand_in.register([("no id", "car-x")], "vehicle")
        assert (await stand_in.status()).counters["connects"] == 1


async def test_an_unregistered_certificate_is_counted() -> None:
    """It is refused after the handshake, as at AWS."""
    async with running() as stand_in:
        async with connected(stand_in.port, TLS, STRANGER) as wire:
            assert await wire.receive() is None

        assert (await stand_in.status()).refusals == {"refused_certificate_not_active": 1}


async def test_an_outage_can_be_played() -> None:
    """Connections are cut, new ones refused, and later accepted on the same port."""
    async with running() as stand_in:
        async with connected(stand_in.port, TLS, CAR) as car:
            await car.receive()
            await stand_in.stop_listening()
            assert await stand_in.drop_all() == 1
            assert await car.receive() is None
        with pytest.raises(ConnectionRefusedError):
            async with connected(stand_in.port, TLS, CAR):
                pass

        await stand_in.start_listening()
        async with connected(stand_in.port, TLS, CAR) as car:
            assert (await car.receive()).reason_code == 0


async def test_ctrl_c_and_a_kill_of_the_group_do_not_reach_it() -> None:
    """It serves on until the parent stops it, and then gives its last word."""
    async with running() as stand_in:
        os.kill(stand_in.pid, signal.SIGINT)
        os.kill(stand_in.pid, signal.SIGTERM)
        async with connected(stand_in.port, TLS, CAR) as car:
            assert (await car.receive()).reason_code == 0

        last = await stand_in.stop()

        assert last is not None
        assert last.counters["connects"] == 1
        assert not is_alive(stand_in.pid)
        assert await stand_in.stop() is None
        with pytest.raises(LinkError, match="was stopped"):
            await stand_in.status()


async def test_its_death_is_noticed() -> None:
    """A killed process is reported with the signal, to who waits and to who asks."""
    async with asyncio.timeout(TIMEOUT_S), running() as stand_in:
        waiting = asyncio.ensure_future(stand_in.lost())
        os.kill(stand_in.pid, signal.SIGKILL)

        assert "signal 9" in str(await waiting)
        assert not stand_in.is_running
        with pytest.raises(LinkError, match="signal 9"):
            await stand_in.status()
        assert await stand_in.stop() is None


async def test_a_request_under_way_ends_with_the_process() -> None:
    """Who waits for an answer when the process dies gets an error instead."""
    async with asyncio.timeout(TIMEOUT_S), running() as stand_in:
        os.kill(stand_in.pid, signal.SIGSTOP)
        asking = [asyncio.ensure_future(stand_in.status()) for _ in range(3)]
        os.kill(stand_in.pid, signal.SIGKILL)

        outcomes = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [LinkError] * 3


async def test_a_start_that_fails_says_why() -> None:
    """A server certificate that is none is reported, and no process stays behind."""
    broken = Setup(b"no certificate", b"no key", [AUTHORITY.certificate_pem], "load", "vehicle")

    with pytest.raises(PeerError, match="server certificate"):
        async with StandIn(broken):
            pass


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process of somebody else")
def test_it_ends_when_its_parent_is_killed() -> None:
    """Without its parent it has no purpose: the pipe tells it."""
    script = textwrap.dedent(
        """
        import asyncio, sys
        from tests.simulator.load.test_stand_in import running

        async def main():
            async with running() as stand_in:
                print(stand_in.pid, flush=True)
                await asyncio.Event().wait()

        if __name__ == "__main__":
            asyncio.run(main())
        """
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        parent.kill()

    with os.fdopen(descriptor):
        readable, _, _ = select.select([descriptor], [], [], TIMEOUT_S)
        assert readable


def is_alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
