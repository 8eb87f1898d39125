"""The cloud session against the IoT Core stand-in, over real mutual TLS."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from agent.cloud.publish_window import Message
from agent.cloud.session import CloudSession
from agent.cloud.session_values import Incoming, LinkState
from certs.errors import ConfigurationError, LinkError
from simulator.iotcore.broker.message import Message as BrokerMessage
from tests.agent.cloud.rig import Desk, core_of, deny, network, onlooker, options, session
from tests.agent.conftest import CAR

if TYPE_CHECKING:
    from pathlib import Path

    from certs.store import Store


def numbered(numbers: range, topic: str = "dt/n") -> list[Message]:
    """QoS 1 messages whose payloads are numbers of four digits."""
    return [Message(topic, b"%04d" % number, qos=1) for number in numbers]


# -- out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1])
async def test_what_is_published_arrives(identities: Store, qos: int) -> None:
    """Messages of either QoS reach a subscriber with topic, payload and order intact."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        session(options(identities, core.port)) as (car, _),
    ):
        await car.ready(20)
        for number in range(12):
            car.publish(Message(f"dt/{number % 3}", b"%d" % number, qos=qos))
        arrived = await app.arrived(12)

        assert await car.drain(20)
        assert [(str(m.topic), m.payload) for m in arrived] == [
            (f"dt/{number % 3}", b"%d" % number) for number in range(12)
        ]
        assert (car.counters.published, car.counters.failed) == (12, 0)
        assert car.counters.acknowledged == (12 if qos else 0)


async def test_messages_of_an_outage_arrive_afterwards_in_order(identities: Store) -> None:
    """QoS 1 accepted while the broker is away is delivered once it is back, each in its place."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        session(options(identities, core.port, in_flight=5)) as (car, desk),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)
        await desk.failed()
        for message in numbered(range(60)):
            car.publish(message)
        assert car.unacknowledged == 60

        await core.start_listening()
        await app.arrived(60)

        assert await car.drain(20)
        assert app.payloads() == [b"%04d" % number for number in range(60)]
        assert car.counters.dropped == {}


async def test_an_outage_costs_bounded_memory_and_the_oldest_messages(identities: Store) -> None:
    """Beyond `waiting_bytes` the oldest are dropped and counted; the newest survive in order."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        # Eight bytes each: topic and payload.
        session(options(identities, core.port, in_flight=2, waiting_bytes=80)) as (car, desk),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)
        await desk.failed()
        for message in numbered(range(1000)):
            car.publish(message)
        assert car.unacknowledged == 10
        assert car.counters.dropped == {"window_full": 990}

        await core.start_listening()
        await app.arrived(10)

        assert app.payloads() == [b"%04d" % number for number in range(990, 1000)]


async def test_an_urgent_message_passes_by_the_backlog(identities: Store) -> None:
    """After an outage the answer to a command does not wait behind old telemetry."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        session(options(identities, core.port, in_flight=1)) as (car, desk),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)
        await desk.failed()
        for message in numbered(range(20)):
            car.publish(message)
        car.publish(Message("dt/answer", b"!", qos=1, urgent=True))

        await core.start_listening()
        await app.arrived(21)

        assert app.payloads()[0] == b"!"


async def test_qos0_is_dropped_while_the_broker_is_away(identities: Store) -> None:
    """Stale QoS 0 data is counted and does not arrive after the outage."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        session(options(identities, core.port)) as (car, desk),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)
        await desk.failed()
        car.publish(Message("dt/old", b"", qos=0))
        await core.start_listening()
        await desk.connected(2)
        car.publish(Message("dt/new", b"", qos=0))

        arrived = await app.arrived(1)
        assert [str(message.topic) for message in arrived] == ["dt/new"]
        assert car.counters.dropped == {"offline_qos0": 1}


async def test_a_refused_publish_is_counted_and_logged_once(identities: Store) -> None:
    """PUBACK 0x87 counts as refused, frees the window, and is one log line a topic."""
    with capture_logs() as logs:
        async with (
            core_of(identities) as core,
            session(options(identities, core.port, in_flight=2)) as (car, _),
        ):
            await car.ready(20)
            deny(core, identities, "iot:Publish", "topic/dt/secret")
            for _ in range(20):
                car.publish(Message("dt/secret", b"x", qos=1))
            car.publish(Message("dt/open", b"x", qos=1))
            assert await car.drain(20)

    assert (car.counters.refused, car.counters.acknowledged) == (20, 1)
    refusals = [entry for entry in logs if entry["event"] == "publish_refused"]
    assert [(e["topic"], e["reason"]) for e in refusals] == [("dt/secret", "NOT_AUTHORIZED")]


async def test_a_message_the_broker_cannot_take_frees_the_window(identities: Store) -> None:
    """A payload above the broker's maximum packet size fails alone; the next one is delivered."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/#") as app,
        session(options(identities, core.port, in_flight=1)) as (car, _),
    ):
        await car.ready(20)
        car.publish(Message("dt/large", bytes(200_000), qos=1))
        car.publish(Message("dt/small", b"", qos=1))

        arrived = await app.arrived(1)
        assert await car.drain(20)
        assert [str(message.topic) for message in arrived] == ["dt/small"]
        assert (car.counters.failed, car.counters.acknowledged) == (1, 1)


async def test_draining_ends_when_the_link_is_lost(identities: Store) -> None:
    """With the broker gone nothing can drain, so the caller is told at once."""
    async with (
        core_of(identities) as core,
        session(options(identities, core.port)) as (car, _),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)
        # Published before the loss is noticed: out, and never acknowledged.
        car.publish(Message("dt/1", b"", qos=1))

        assert not await asyncio.wait_for(car.drain(3600), 20)
        assert car.unacknowledged == 1


# -- in ------------------------------------------------------------------------------------------


async def test_a_command_queued_while_the_car_was_away_is_delivered(identities: Store) -> None:
    """The session outlives the process: the next run receives what came in between."""
    async with core_of(identities) as core, onlooker(identities, core.port) as app:
        async with session(options(identities, core.port), {"cmd/+": 1}) as (car, _):
            await car.ready(20)
        await app.publish("cmd/1", b"go", qos=1)

        async with session(options(identities, core.port), {"cmd/+": 1}) as (_, desk):
            await desk.until(lambda: bool(desk.messages))

        assert desk.messages == [Incoming("cmd/1", b"go")]
        assert desk.states[1] == (LinkState.CONNECTED, "session resumed")


async def test_a_retained_message_does_not_act_on_a_new_session(identities: Store) -> None:
    """A command that somebody retained is not delivered at the start, only when it is live."""
    async with core_of(identities) as core:
        await core.publish("cmd/1", b"old", qos=1, retain=True)
        async with session(options(identities, core.port), {"cmd/1": 1}) as (car, desk):
            await car.ready(20)
            await core.publish("cmd/1", b"live", qos=1, retain=True)
            await desk.until(lambda: bool(desk.messages))

            assert [message.payload for message in desk.messages] == [b"live"]


async def test_properties_of_a_message_are_handed_on(identities: Store) -> None:
    """The remaining lifetime and the content type arrive with the message."""
    async with (
        core_of(identities) as core,
        session(options(identities, core.port), {"cmd/+": 1}) as (car, desk),
    ):
        await car.ready(20)
        await core.publish("cmd/1", b"", qos=1, content_type="text/plain", message_expiry_s=60)
        await desk.until(lambda: bool(desk.messages))

    assert desk.messages[0].content_type == "text/plain"
    assert desk.messages[0].message_expiry_s in {59, 60}


async def test_without_acknowledgement_the_message_stays_with_the_broker(
    identities: Store,
) -> None:
    """A look at the session takes nothing from it; the next connection gets the message, once."""
    async with core_of(identities) as core:
        async with session(options(identities, core.port), {"cmd/+": 1}) as (car, _):
            await car.ready(20)
        await core.publish("cmd/1", b"go", qos=1)

        async with session(options(identities, core.port, acknowledge=False)) as (_, looking):
            await looking.until(lambda: bool(looking.messages))
        async with session(options(identities, core.port), {"cmd/+": 1}) as (car, taking):
            await taking.until(lambda: bool(taking.messages))
            # A round trip behind the acknowledgement, so that the broker has it.
            car.publish(Message("dt/1", b"", qos=1))
            assert await car.drain(20)
        async with session(options(identities, core.port), {"cmd/+": 1}) as (_, after):
            await after.connected()
            await core.publish("cmd/last", b"", qos=1)
            await after.until(lambda: bool(after.messages))

    assert (looking.topics(), taking.topics()) == (["cmd/1"], ["cmd/1"])
    assert after.topics() == ["cmd/last"]


async def test_a_message_is_acknowledged_only_after_its_handler(identities: Store) -> None:
    """A connection that breaks while the handler runs brings the message again."""
    async with core_of(identities) as core:
        desk = Desk()

        def handler(incoming: Incoming) -> None:
            if not desk.messages:
                core.drop(CAR)
            desk.on_message(incoming)

        async with session(
            options(identities, core.port), {"cmd/+": 1}, desk, on_message=handler
        ) as (car, _):
            await car.ready(20)
            await core.publish("cmd/1", b"go", qos=1)
            await desk.until(lambda: len(desk.messages) == 2)

    assert desk.topics() == ["cmd/1", "cmd/1"]


async def test_a_handler_that_fails_does_not_stop_the_session(identities: Store) -> None:
    """The exception is logged, the message acknowledged, and the next one handled."""
    desk = Desk()

    def handler(incoming: Incoming) -> None:
        desk.on_message(incoming)
        if incoming.topic == "cmd/bad":
            raise RuntimeError("a defect")

    with capture_logs() as logs:
        async with (
            core_of(identities) as core,
            session(options(identities, core.port), {"cmd/+": 1}, desk, on_message=handler) as (
                car,
                _,
            ),
        ):
            await car.ready(20)
            for topic in ("cmd/bad", "cmd/good"):
                await core.publish(topic, b"", qos=1)
            await desk.until(lambda: len(desk.messages) == 2)
            assert car.state is LinkState.CONNECTED

    assert desk.topics() == ["cmd/bad", "cmd/good"]
    assert [e["topic"] for e in logs if e["event"] == "message_handler_failed"] == ["cmd/bad"]


async def test_a_flood_of_qos0_is_bounded_and_counted(identities: Store) -> None:
    """While the event loop is busy at most 1000 messages wait; every other one is counted."""
    async with (
        core_of(identities) as core,
        session(options(identities, core.port), {"cmd/+": 0}) as (car, desk),
    ):
        await car.ready(20)
        now_s = asyncio.get_running_loop().time()
        for number in range(3000):
            core.broker.publish(BrokerMessage(f"cmd/{number}", b"", 0, now_s), now_s)
        core.wake()
        await asyncio.sleep(0)
        # The loop stands still until the SDK's thread has met the bound.
        deadline_s = time.monotonic() + 20
        while car._gate._dropped < 100 and time.monotonic() < deadline_s:
            time.sleep(0.001)  # noqa: ASYNC251 - blocking the loop is what is tested
        waiting = car._gate._in_messages - car._gate._out_messages
        await core.publish("cmd/last", b"", qos=1)
        await desk.until(lambda: "cmd/last" in desk.topics())

        assert waiting == 1000
        assert car.counters.dropped["inbound_full"] >= 100
        assert car.counters.received + car.counters.dropped["inbound_full"] == 3001


# -- subscriptions -------------------------------------------------------------------------------


async def test_subscriptions_are_made_anew_when_the_broker_forgot_them(identities: Store) -> None:
    """A broker that lost the session gets SUBSCRIBE again, and commands go on arriving."""
    async with core_of(identities) as core:
        port = core.port
        made = session(options(identities, port), {"cmd/+": 1})
        car, desk = await made.__aenter__()
        await car.ready(20)
    try:
        async with core_of(identities, port=port) as forgetful:
            await desk.connected(2)
            await car.ready(20)
            await forgetful.publish("cmd/1", b"", qos=1)
            await desk.until(lambda: bool(desk.messages))
    finally:
        await made.__aexit__(None, None, None)

    assert (LinkState.CONNECTED, "new session") in desk.states[2:]
    assert desk.topics() == ["cmd/1"]


async def test_an_interrupted_subscription_is_made_up_for(identities: Store) -> None:
    """When the link breaks between CONNACK and SUBACK, the resumed session is subscribed too."""
    async with core_of(identities) as core:
        port, desk = core.port, Desk()
        made = session(options(identities, port), {"cmd/+": 1}, desk)
        car, _ = await made.__aenter__()
        await car.ready(20)
    try:
        async with core_of(identities, port=port) as forgetful:

            def break_once(state: LinkState, reason: str) -> None:
                desk.on_state(state, reason)
                if (state, reason) == (LinkState.CONNECTED, "new session"):
                    forgetful.drop(CAR)

            car._on_state = break_once
            await desk.until(lambda: desk.states[-1] == (LinkState.CONNECTED, "session resumed"))
            await car.ready(20)
            await forgetful.publish("cmd/1", b"", qos=1)
            await desk.until(lambda: bool(desk.messages))
    finally:
        await made.__aexit__(None, None, None)

    assert desk.topics() == ["cmd/1"]


async def test_one_refused_subscription_does_not_cost_the_others(identities: Store) -> None:
    """A filter the policy denies is reported with what to allow; the other filter works."""
    async with core_of(identities) as core:
        deny(core, identities, "iot:Subscribe", "topicfilter/secret/+")
        filters = {"secret/+": 1, "cmd/+": 1}
        async with session(options(identities, core.port), filters) as (car, desk):
            await desk.connected()
            with pytest.raises(LinkError, match=r"refused the subscription secret/\+.*NOT_AUTH"):
                await car.ready(1)
            await core.publish("cmd/1", b"", qos=1)
            await desk.until(lambda: bool(desk.messages))

    assert "iot:Subscribe" in car.last_failure


# -- the will ------------------------------------------------------------------------------------

WILL = Message("dt/health", b"gone", qos=1, retain=True)


async def test_a_broken_connection_makes_the_broker_publish_the_will(identities: Store) -> None:
    """Subscribers see the last will when the connection ends without DISCONNECT."""
    async with (
        core_of(identities) as core,
        onlooker(identities, core.port, "dt/health") as app,
        session(options(identities, core.port, will=WILL)) as (car, _),
    ):
        await car.ready(20)
        await core.stop_listening()
        core.drop(CAR)

        await app.arrived(1)
        assert app.payloads() == [b"gone"]


async def test_a_clean_stop_does_not_publish_the_will(identities: Store) -> None:
    """`stop` says DISCONNECT, so the broker discards the will."""
    async with core_of(identities) as core, onlooker(identities, core.port, "dt/#") as app:
        async with session(options(identities, core.port, will=WILL)) as (car, _):
            await car.ready(20)
        # The broker lets the next connection in when it is done with the last one.
        async with session(options(identities, core.port)) as (car, _):
            await car.ready(20)
        await app.publish("dt/marker", b"marker", qos=1)
        await app.arrived(1)

        assert app.payloads() == [b"marker"]


# -- what can go wrong ---------------------------------------------------------------------------


async def test_an_unknown_certificate_is_named_as_the_likely_cause(identities: Store) -> None:
    """A broker that closes after CONNECT without an answer, as AWS does, is explained."""
    async with (
        core_of(identities) as core,
        session(options(identities, core.port, thing="unknown-car")) as (car, desk),
    ):
        reason = await desk.failed()

    assert "does not know the certificate" in reason
    assert "iot:Connect" in reason
    assert car.counters.connect_failures >= 1


async def test_a_certificate_of_another_ca_is_refused_in_words(
    identities: Store, foreign_identities: Store
) -> None:
    """A broker that does not trust the device certificate leads to a sentence, not to a code."""
    settings = options(foreign_identities, 0, ca=identities.ca_certificate_path)
    async with core_of(identities) as core:
        at_port = options(foreign_identities, core.port, ca=settings.ca)
        async with session(at_port) as (_, desk):
            reason = await desk.failed()

    assert "the broker closed the connection" in reason
    assert "certificate" in reason


async def test_a_policy_that_denies_connect_is_reported(identities: Store) -> None:
    """CONNACK with a reason code is passed on by its name."""
    async with core_of(identities) as core:
        deny(core, identities, "iot:Connect")
        async with session(options(identities, core.port)) as (_, desk):
            reason = await desk.failed()

    assert reason == "the broker refused the connection: NOT_AUTHORIZED"


async def test_a_broker_that_is_down_is_reported_and_tried_again(identities: Store) -> None:
    """A refused TCP connection has words, and the attempts go on without waiting for the cap."""
    async with core_of(identities) as core:
        port = core.port
    # With a cap of an hour, four attempts in time mean that the delay starts at its minimum.
    settings = options(identities, port, reconnect_max_s=3600)
    async with session(settings) as (car, desk):
        reason = await desk.failed(4)

        assert reason == "nothing listens there: the connection was refused"
        with pytest.raises(LinkError) as caught:
            await car.ready(0.01)

    assert f"127.0.0.1:{port}" in caught.value.what
    assert "connection was refused" in caught.value.what
    assert "morai-agent check" in caught.value.remedy


async def test_a_port_that_does_not_speak_tls_is_reported(identities: Store) -> None:
    """A server that talks first, or hangs up, fails the TLS handshake with a sentence."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with (
        server,
        session(options(identities, server.sockets[0].getsockname()[1])) as (
            _,
            desk,
        ),
    ):
        reason = await desk.failed()

    assert "TLS handshake" in reason


async def test_a_broker_that_is_not_trusted_is_suspected_at_once(
    identities: Store, foreign_identities: Store
) -> None:
    """With the wrong root the handshake does not end, and the error names the key to correct."""
    async with core_of(identities) as core:
        settings = options(identities, core.port, ca=foreign_identities.ca_certificate_path)
        desk = Desk()
        car = CloudSession(settings, {}, desk.on_message, desk.on_state)
        car.start()
        await desk.until(lambda: bool(desk.states))
        with pytest.raises(LinkError, match=r"broker\.ca"):
            await car.ready(0.2)
        await car.stop(timeout_s=0.1)


async def test_stopping_while_connecting_is_clean(identities: Store) -> None:
    """A server that never answers the handshake cannot hold `stop` beyond its time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        car = CloudSession(
            options(identities, server.getsockname()[1]),
            {"cmd/+": 1},
            lambda _: None,
            lambda _state, _reason: None,
        )
        car.start()
        accepting = asyncio.get_running_loop().sock_accept(server)
        silent, _ = await asyncio.wait_for(accepting, 20)
        with silent:
            await asyncio.wait_for(car.stop(timeout_s=0.1), 20)
            await car.stop()
            car.publish(Message("dt/late", b"", qos=1))

    assert car.unacknowledged == 1


async def test_stopping_between_attempts_is_clean(identities: Store) -> None:
    """`stop` ends the waiting for the next attempt, and nothing is tried afterwards."""
    async with core_of(identities) as core:
        port = core.port
    desk = Desk()
    async with session(options(identities, port, reconnect_min_s=3600), desk=desk) as (car, _):
        await desk.failed()

    assert desk.states[-1][0] is LinkState.STOPPED
    assert car.state is LinkState.STOPPED


async def test_stopping_right_after_starting_is_noticed(identities: Store) -> None:
    """However early it comes, `stop` ends when the client has ended and not when time runs out."""
    async with core_of(identities) as core:
        for _ in range(20):
            desk = Desk()
            settings = options(identities, core.port)
            car = CloudSession(settings, {}, desk.on_message, desk.on_state)
            car.start()
            await asyncio.wait_for(car.stop(timeout_s=3600), 20)
            assert car.state is LinkState.STOPPED


async def test_an_owed_acknowledgement_is_known(identities: Store) -> None:
    """While the network is dead the time of the last answer stands; then nothing is owed."""
    async with (
        core_of(identities) as core,
        network(core.port) as radio,
        session(options(identities, radio.port)) as (car, _),
    ):
        await car.ready(20)
        owed = [car.owed_since_s]
        radio.hold()
        before_s = time.monotonic()
        car.publish(Message("dt/1", b"", qos=1))
        owed.append(car.owed_since_s)
        after_s = time.monotonic()
        car.publish(Message("dt/2", b"", qos=1))
        owed.append(car.owed_since_s)
        radio.release()
        assert await car.drain(20)
        owed.append(car.owed_since_s)

    assert (owed[0], owed[3]) == (None, None)
    assert owed[1] == owed[2]
    assert owed[1] is not None
    assert before_s <= owed[1] <= after_s


async def test_stopping_before_starting_does_nothing(identities: Store) -> None:
    """A session that never started can be stopped."""
    car = CloudSession(options(identities, 1), {}, lambda _: None, lambda _state, _reason: None)
    await car.stop()

    assert car.state is LinkState.STOPPED


async def test_a_state_handler_that_fails_does_not_stop_the_session(identities: Store) -> None:
    """Subscriptions are made even if the owner of the session fails at the news."""
    desk = Desk()

    def fail(state: LinkState, reason: str) -> None:
        desk.on_state(state, reason)
        raise RuntimeError("a defect")

    with capture_logs() as logs:
        async with core_of(identities) as core:
            car = CloudSession(options(identities, core.port), {"cmd/+": 1}, desk.on_message, fail)
            car.start()
            await car.ready(20)
            await core.publish("cmd/1", b"", qos=1)
            await desk.until(lambda: bool(desk.messages))
            await car.stop()

    assert {e["state"] for e in logs if e["event"] == "state_handler_failed"} >= {"connected"}


async def test_files_that_are_no_identity_are_a_configuration_error(
    identities: Store, tmp_path: Path
) -> None:
    """A missing or broken certificate is refused before anything is connected."""
    broken = tmp_path / "cert.pem"
    broken.write_text("no certificate", encoding="utf-8")
    for path in (broken, tmp_path / "missing.pem"):
        settings = options(identities, 8883, certificate=path)
        car = CloudSession(settings, {}, lambda _: None, lambda _state, _reason: None)
        with pytest.raises(ConfigurationError, match="TLS identity") as caught:
            car.start()
        assert "morai-agent check" in caught.value.remedy
