"""What MQTT 5 has and AWS IoT Core does or does not do (developer guide, "MQTT 5 features")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

if TYPE_CHECKING:
    from tests.simulator.iotcore.conftest import Bench

Disconnect = mqtt5.DisconnectPacket
Publish = mqtt5.PublishPacket


def test_the_server_never_uses_topic_aliases(bench: Bench) -> None:
    """However many the client allows; topics are always spelled out."""
    client = bench.join("c", topic_alias_max=100)
    client.subscribe("t/#")
    for _ in range(3):
        client.publish("t/a", qos=1)
        client.publish("t/a", topic_alias=3)
        client.publish("", topic_alias=3)
    packets = client.take(Publish)
    assert len(packets) == 9
    assert {(packet.topic, packet.topic_alias) for packet in packets} == {("t/a", None)}


def test_aliases_belong_to_their_connection(bench: Bench) -> None:
    """A new connection of the same session has none (MQTT 5.0 section 3.3.2.3.4)."""
    client = bench.join("c", session_expiry_interval=60)
    client.publish("t", topic_alias=1)
    client.lose()
    client = bench.join("c", clean_start=False, session_expiry_interval=60)
    client.publish("", topic_alias=1)
    assert client.codes(Disconnect) == [0x82]


def test_alias_0_is_an_error(bench: Bench) -> None:
    """MQTT-3.3.2-8; the service lists 0x94 and 0x81, 0x82 among its codes."""
    client = bench.join("c")
    client.send(bytes.fromhex("3007 0001 74 03 23 0000"))
    assert client.codes(Disconnect) in ([0x94], [0x81], [0x82])


def test_request_and_response_pass_through(bench: Bench) -> None:
    """Response Topic and Correlation Data reach the responder, and the answer comes back."""
    requester, responder = bench.join("requester"), bench.join("responder")
    responder.subscribe("requests")
    requester.subscribe("answers/1")
    requester.publish("requests", qos=1, response_topic="answers/1", correlation_data=b"\x00\x07")
    (request,) = responder.take(Publish)
    assert request.response_topic is not None
    responder.publish(request.response_topic, qos=1, correlation_data=request.correlation_data)
    (answer,) = requester.take(Publish)
    assert (answer.topic, answer.correlation_data) == ("answers/1", b"\x00\x07")


def test_there_is_no_response_information_and_no_redirection(bench: Bench) -> None:
    """Neither is listed among the properties of CONNACK."""
    (connack,) = bench.connect("c", request_response_info=True).take(mqtt5.ConnAckPacket)
    assert (connack.response_info, connack.server_reference) == (None, None)
    assert connack.authentication_method is None


@pytest.mark.parametrize(
    ("at_connect", "at_disconnect", "code", "kept_s"),
    [
        (60, None, None, 60),
        (60, 10, None, 10),
        (60, 600, None, 600),
        (60, 999_999, None, 3600),
        (60, 0, None, 0),
        (0, 0, None, 0),
        (0, 10, 0x82, 0),
    ],
)
def test_the_session_expiry_can_change_at_disconnect(
    bench: Bench, at_connect: int, at_disconnect: int | None, code: int | None, kept_s: int
) -> None:
    """Unless it was 0; capped as at CONNECT (MQTT 5.0 section 3.14.2.2.2)."""
    client = bench.join("c", session_expiry_interval=at_connect)
    options: dict[str, Any] = {}
    if at_disconnect is not None:
        options["session_expiry_interval"] = at_disconnect
    client.send(mqtt5.DisconnectPacket(**options))
    assert client.codes(Disconnect) == ([code] if code else [])
    if kept_s:
        bench.wait(kept_s - 1)
        assert len(bench.broker.clients()) == 1
        bench.wait(2)
    assert bench.broker.clients() == []


def test_disconnect_with_a_reason_sends_the_will(bench: Bench) -> None:
    """Every code but 0x00 leaves the will in force (MQTT 5.0 section 3.14.2.1)."""
    listener = bench.join("listener")
    listener.subscribe("will")
    for number, code in enumerate((0x00, 0x04, 0x80, 0x97)):
        client = bench.join(f"c{number}", will=mqtt5.Will("will", payload=b"%d" % number))
        client.send(mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode(code)))
        assert client.is_closed
    assert [payload for _, payload in listener.messages()] == [b"1", b"2", b"3"]


def test_publishing_without_waiting_for_pubacks_is_not_above_the_receive_maximum(
    bench: Bench,
) -> None:
    """PUBACKs are sent at once, so only a client that does not take them can be above it."""
    client = bench.join("c")
    for number in range(1, 301):
        client.publish("t", qos=1, packet_id=number)
    assert client.codes(mqtt5.PubAckPacket) == [0] * 300


def test_duplicates_are_never_marked(bench: Bench) -> None:
    """DUP of a publisher is not passed on (MQTT-3.3.1-3), and the service never sets it."""
    client = bench.join("c")
    client.subscribe("t")
    client.publish("t", qos=1, duplicate=True)
    assert [packet.duplicate for packet in client.take(Publish)] == [False]


def test_qos_0_filters_get_qos_1_messages_at_qos_0_while_online_only(bench: Bench) -> None:
    """Only QoS 1 messages of QoS 1 subscriptions are stored."""
    options: dict[str, Any] = {"clean_start": False, "session_expiry_interval": 60}
    client = bench.join("c", **options)
    client.subscribe("t", qos=0)
    bench.join("s").publish("t", b"1", qos=1)
    assert client.messages() == [("t", b"1")]
    client.lose()
    bench.join("s").publish("t", b"2", qos=1)
    assert bench.join("c", **options).messages() == []
