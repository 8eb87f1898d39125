from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mqtt5
import pytest

from simulator.iotcore.broker.connection import Ending
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.permissions.identity import ClientCertificate
from simulator.iotcore.registry import CertificateStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.iotcore.conftest import Bench

ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
ConnAck = mqtt5.ConnAckPacket
Disconnect = mqtt5.DisconnectPacket


def allow(*pairs: tuple[str, str], condition: Any = None) -> dict[str, Any]:
    """A policy that allows pairs of action and resource."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": action,
                "Resource": ARN + resource,
                **({"Condition": condition} if condition else {}),
            }
            for action, resource in pairs
        ],
    }


def test_connack_announces_the_limits(bench: Bench) -> None:
    """The properties of the developer guide's MQTT 5 table, with the adjusted values."""
    client = bench.connect("car-1", keep_alive=5, session_expiry_interval=999_999)
    (connack,) = client.take(ConnAck)
    assert int(connack.reason_code) == 0
    assert connack.session_present is False
    assert connack.max_qos == mqtt5.QoS.AT_LEAST_ONCE
    assert connack.retain_available
    assert connack.wildcard_subscription_available
    assert connack.shared_subscription_available
    assert not connack.subscription_id_available
    assert connack.topic_alias_max == 8
    assert connack.receive_max == 100
    assert connack.max_packet_size == 149_504
    assert connack.server_keep_alive == 30
    assert connack.session_expiry_interval == 3600
    assert connack.assigned_client_id is None


@pytest.mark.parametrize(
    ("asked", "given"),
    [(0, 1200), (1, 30), (29, 30), (30, 30), (777, 777), (1200, 1200), (1201, 1200)],
)
def test_keep_alive_is_adjusted(bench: Bench, asked: int, given: int) -> None:
    """30 to 1,200 seconds; 0 means 1,200."""
    (connack,) = bench.connect("c", keep_alive=asked).take(ConnAck)
    assert connack.server_keep_alive == given


def test_a_silent_client_is_disconnected_at_one_and_a_half_keep_alives(bench: Bench) -> None:
    """45 s after its last packet a client with a keep-alive of 30 s gets 0x8D."""
    client = bench.join("c", keep_alive=30)
    bench.wait(44)
    client.send(mqtt5.PingReqPacket())
    assert len(client.take(mqtt5.PingRespPacket)) == 1
    bench.wait(44.9)
    assert not client.is_closed
    bench.wait(0.1)
    assert client.codes(Disconnect) == [0x8D]
    assert client.is_closed


def test_half_a_packet_does_not_keep_a_client_alive(bench: Bench) -> None:
    """Only complete packets count, so a client cannot linger byte by byte."""
    client = bench.join("c", keep_alive=30)
    client.send(b"\x30")
    for _ in range(5):
        bench.wait(9)
        client.send(b"\x05" if _ == 0 else b"")
    assert client.is_closed


def test_an_empty_client_id_is_replaced(bench: Bench) -> None:
    """The broker assigns a unique id and says which."""
    first, second = bench.connect(""), bench.connect("")
    ids = {client.take(ConnAck)[0].assigned_client_id for client in (first, second)}
    assert len(ids) == 2
    assert None not in ids


def test_an_unknown_certificate_is_closed_without_connack(bench: Bench) -> None:
    """As the service does: TLS completes, CONNECT is answered by a close."""
    client = bench.open(ClientCertificate(b"another"))
    assert not client.is_closed
    client.send(mqtt5.ConnectPacket("c"))
    assert (client.raw, client.is_closed) == (b"", True)
    assert bench.count("refused_certificate_not_active") == 1


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED", "PENDING_ACTIVATION"])
def test_a_certificate_that_is_not_active_is_closed_without_connack(
    bench: Bench, status: str
) -> None:
    """Every status but ACTIVE is refused the same way."""
    bench.registry.set_status(bench.certificate.certificate_id, CertificateStatus(status))
    client = bench.connect("c")
    assert (client.raw, client.is_closed) == (b"", True)


def test_deactivating_a_certificate_ends_its_connections(bench: Bench) -> None:
    """Open connections do not outlive their certificate's ACTIVE status."""
    client = bench.join("c")
    bench.registry.set_status(bench.certificate.certificate_id, CertificateStatus.INACTIVE)
    bench.wait(1)
    assert client.codes(Disconnect) == [0x87]
    assert client.is_closed


def test_connect_is_denied_by_policy(make_bench: Callable[..., Bench]) -> None:
    """A client id that no statement allows gets CONNACK 0x87."""
    bench = make_bench(allow(("iot:Connect", "client/car-*")))
    assert bench.connect("car-1").codes(ConnAck) == [0]
    denied = bench.connect("bus-1")
    assert denied.codes(ConnAck) == [0x87]
    assert denied.ending is Ending.AFTER_SENDING
    assert bench.count("refused_connect_denied") == 1


def test_thing_variables_need_the_thing_attached(make_bench: Callable[..., Bench]) -> None:
    """A client id that equals the thing's name stands for the thing once the two are attached."""
    bench = make_bench(allow(("iot:Connect", "client/${iot:Connection.Thing.ThingName}")))
    assert bench.connect("car-1").codes(ConnAck) == [0x87]
    bench.attach_thing("car-1")
    assert bench.connect("car-1").codes(ConnAck) == [0]
    assert bench.connect("car-2").codes(ConnAck) == [0x87]


def test_an_exclusive_thing_stands_for_any_client_id(make_bench: Callable[..., Bench]) -> None:
    """EXCLUSIVE_THING resolves the thing's variables whatever the client is called."""
    bench = make_bench(
        allow(
            ("iot:Connect", "client/*"),
            condition={"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
        )
    )
    assert bench.connect("anything").codes(ConnAck) == [0x87]
    bench.attach_thing("car-1", exclusive=True)
    assert bench.connect("anything").codes(ConnAck) == [0]


def test_persistent_sessions_can_be_denied(make_bench: Callable[..., Bench]) -> None:
    """`iot:ConnectAttributes` tells persistent sessions from others."""
    bench = make_bench(
        allow(
            ("iot:Connect", "client/*"),
            condition={
                "ForAllValues:StringNotEquals": {"iot:ConnectAttributes": "PersistentConnect"}
            },
        )
    )
    assert bench.connect("c").codes(ConnAck) == [0]
    assert bench.connect("c", session_expiry_interval=10).codes(ConnAck) == [0x87]


def test_the_topic_of_the_will_can_be_a_condition(make_bench: Callable[..., Bench]) -> None:
    """`iot:LastWillTopic` with ArnEquals, as in the guide's "Connect policy examples"."""
    condition = {"ArnEquals": {"iot:LastWillTopic": "arn:aws:iot:*:*:topic/*my/lastwill/topicName"}}
    connect = allow(("iot:Connect", "client/*"), condition=condition)
    connect["Statement"] += allow(("iot:Publish", "topic/*"))["Statement"]
    bench = make_bench(connect)
    codes = [
        bench.connect("c", will=will).codes(ConnAck)
        for will in (
            mqtt5.Will(topic="my/lastwill/topicName", payload=b""),
            mqtt5.Will(topic="another", payload=b""),
            None,
        )
    ]
    assert codes == [[0], [0x87], [0x87]]


def test_policies_of_an_open_connection_can_change(bench: Bench) -> None:
    """Detaching a policy holds from the next packet on."""
    client = bench.join("c")
    client.publish("t", qos=1)
    assert client.codes(mqtt5.PubAckPacket) == [0]
    bench.registry.detach_policy("test", bench.certificate.certificate_id)
    client.publish("t", qos=1)
    assert client.codes(mqtt5.PubAckPacket) == [0x87]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"client_id": "x" * 128}, 0),
        ({"client_id": "x" * 129}, 0x85),
        ({"client_id": "é" * 65}, 0x85),
        ({"max_packet_size": 511}, 0x80),
        ({"max_packet_size": 512}, 0),
        ({"authentication_method": "SCRAM"}, 0x8C),
        ({"username": "?SDK=IoTDeviceSDK/Python&Version=1", "password": b"x"}, 0),
        ({"will": mqtt5.Will("w", qos=mqtt5.QoS.EXACTLY_ONCE)}, 0x9B),
        ({"will": mqtt5.Will("w/" * 9)}, 0x90),
        ({"will": mqtt5.Will("$SYS/w")}, 0x90),
        ({"will": mqtt5.Will("w", content_type="x" * 257)}, 0x97),
        ({"will": mqtt5.Will("w", user_properties=[("k", "v" * 8192)])}, 0x97),
    ],
)
def test_connects_against_the_limits(bench: Bench, options: dict[str, Any], code: int) -> None:
    """CONNACK codes for what AWS bounds in a CONNECT; a user name is accepted and ignored."""
    assert bench.connect(**{"client_id": "c", **options}).codes(ConnAck) == [code]


def test_a_will_that_may_not_be_published_refuses_the_connect(
    make_bench: Callable[..., Bench],
) -> None:
    """The will's topic is checked like a publish, with RetainPublish for a retained one."""
    bench = make_bench(allow(("iot:Connect", "client/*"), ("iot:Publish", "topic/w")))
    assert bench.connect("c", will=mqtt5.Will("w")).codes(ConnAck) == [0]
    assert bench.connect("c", will=mqtt5.Will("x")).codes(ConnAck) == [0x87]
    assert bench.connect("c", will=mqtt5.Will("w", retain=True)).codes(ConnAck) == [0x87]


@pytest.mark.parametrize(
    "connect",
    ["101100064d51497364700302003c0003616263", "100f00044d5154540302003c0003616263"],
)
def test_mqtt_3_1_is_refused_in_its_own_words(bench: Bench, connect: str) -> None:
    """CONNACK with return code 1, "unacceptable protocol version" (MQTT 3.1.1 table 3.1)."""
    client = bench.open().send(bytes.fromhex(connect))
    assert client.raw == bytes.fromhex("20020001")
    assert client.is_closed
    assert bench.count("refused_protocol_version") == 1


def test_a_future_mqtt_version_is_refused(bench: Bench) -> None:
    """MQTT 5.0 section 3.1.2.2: CONNACK 0x84."""
    client = bench.open().send(bytes.fromhex("101000044d5154540602003c000003616263"))
    assert client.codes(ConnAck) == [0x84]


@pytest.mark.parametrize(
    "first",
    [
        mqtt5.PublishPacket("t", b"x").write(),
        mqtt5.PingReqPacket().write(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        bytes.fromhex("100f00044e5154540402003c0003616263"),
        bytes.fromhex("1010 0004 4d515454 05 03 003c 00 0003 616263"),
    ],
)
def test_anything_but_a_sound_connect_first_is_closed_without_an_answer(
    bench: Bench, first: bytes
) -> None:
    """Before CONNACK nothing is said to a client that does not speak MQTT 5."""
    client = bench.open().send(first)
    assert client.raw == b""
    assert client.is_closed or client.connection.framer.is_between_packets is False


def test_packets_behind_connect_must_wait_for_connack(bench: Bench) -> None:
    """A client that pipelines is told 0x82."""
    both = mqtt5.ConnectPacket("c").write() + mqtt5.PublishPacket("t", b"x").write()
    client = bench.open().send(both)
    assert client.codes(ConnAck) == [0]
    assert client.codes(Disconnect) == [0x82]
    assert client.is_closed


def test_a_connection_without_connect_is_closed(bench: Bench) -> None:
    """Ten seconds are enough to say who one is."""
    client = bench.open()
    bench.wait(9.9)
    assert bench.count("refused_no_connect") == 0
    bench.wait(0.2)
    assert bench.count("refused_no_connect") == 1
    assert client.is_closed


def test_the_number_of_sessions_is_bounded(make_bench: Callable[..., Bench]) -> None:
    """Beyond the bound a new client id gets 0x97, a known one still connects."""
    bench = make_bench(limits=Limits(sessions=2))
    bench.join("a")
    bench.join("b")
    assert bench.connect("c").codes(ConnAck) == [0x97]
    assert bench.connect("a").codes(ConnAck) == [0]
