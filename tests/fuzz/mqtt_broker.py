"""Throws damaged MQTT 5 and 3.1.1 at the sans-I/O broker: random, mutated, cut, spliced streams.

The invariant: the broker never raises whatever a client sends, it holds no more than its bounds,
and other clients are still served. Run it as `python -m tests.fuzz.mqtt_broker 1000000`.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from typing import TYPE_CHECKING

import mqtt5

from simulator.iotcore.broker.broker import Broker
from simulator.iotcore.broker.connection import State
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.broker.peer import Peer
from simulator.iotcore.permissions.identity import ClientCertificate
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry
from tests.simulator.iotcore.broker import old_client

if TYPE_CHECKING:
    from simulator.iotcore.broker.connection import Connection

_CONTROL_EVERY = 1_000
_CONTROL_TOPIC = "control/probe"
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": "*/deny*"},
        # The hostile clients may be called anything but the two that check on the broker.
        {
            "Effect": "Deny",
            "Action": "iot:Connect",
            "Resource": "*client/control-*",
            "Condition": {"StringNotEquals": {"aws:SourceIp": "127.0.0.1"}},
        },
        {
            "Effect": "Deny",
            "Action": "iot:Publish",
            "Resource": "*topic/control/*",
            "Condition": {"StringNotEquals": {"aws:SourceIp": "127.0.0.1"}},
        },
    ],
}
_LIMITS = Limits(
    queued_messages=50,
    queued_messages_of_group=50,
    queued_bytes_total=262_144,
    retained_messages=50,
    sessions=200,
    retained_bytes=65_536,
    queued_bytes=65_536,
)
_TOPICS = (
    "dt/a",
    "dt/a/b",
    "cmd/é/x",
    "deny/x",
    "$aws/things/t/shadow/update",
    "$aws/rules/r/a",
    "$SYS/x",
    "a/" * 8,
    "x" * 257,
)
_FILTERS = ("dt/#", "#", "+/a", "$share/g/dt/#", "$aws/events/#", "dt/deny", "cmd/é/+")


def seeds() -> list[bytes]:
    """Valid packets of every kind a client sends, and most it should not."""
    qos = (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE, mqtt5.QoS.EXACTLY_ONCE)
    retain_handling = mqtt5.RetainHandling.SEND_IF_SUBSCRIPTION_NOT_EXISTS
    found: list[bytes] = []
    for number, topic in enumerate(_TOPICS):
        for level in qos:
            packet_id = number + 1 if level != mqtt5.QoS.AT_MOST_ONCE else None
            found.append(mqtt5.PublishPacket(topic, b"1", qos=level, packet_id=packet_id).write())
        found.append(
            mqtt5.PublishPacket(
                topic,
                b"\x00\xff" * 8,
                qos=qos[1],
                packet_id=7,
                retain=bool(number % 2),
                payload_format_indicator=1,
                message_expiry_interval=1 + number,
                content_type="application/json",
                response_topic="dt/answer",
                correlation_data=b"c\xff",
                topic_alias=1 + number,
                user_properties=[("k", "v"), ("ü", "")],
            ).write()
        )
    found += [
        mqtt5.SubscribePacket(
            3, [mqtt5.TopicFilter(pattern, max_qos=level, retain_handling=retain_handling)]
        ).write()
        for pattern in _FILTERS
        for level in qos
    ]
    found += [
        mqtt5.PublishPacket("dt/a", b"", qos=qos[1], packet_id=8, content_type="x" * 300).write(),
        mqtt5.PublishPacket("dt/a", b"", user_properties=[("k", "v" * 9_000)]).write(),
        mqtt5.PublishPacket("dt/a", b"x" * 140_000, qos=qos[1], packet_id=8).write(),
        bytes.fromhex("300a 0001 74 06 08 0003 722f23"),  # PUBLISH, wildcard in Response Topic
        mqtt5.SubscribePacket(
            4, [mqtt5.TopicFilter(p) for p in _FILTERS], subscription_id=3
        ).write(),
        mqtt5.SubscribePacket(5, [mqtt5.TopicFilter("dt/#", no_local=True)] * 9).write(),
        mqtt5.UnsubscribePacket(6, list(_FILTERS)).write(),
        *(mqtt5.PubAckPacket(number).write() for number in range(1, 5)),
        mqtt5.PubAckPacket(1, reason_str="why", user_properties=[("a", "b")]).write(),
        mqtt5.PubRecPacket(1).write(),
        mqtt5.PubRelPacket(1).write(),
        mqtt5.PubCompPacket(1).write(),
        mqtt5.PingReqPacket().write(),
        mqtt5.PingRespPacket().write(),
        mqtt5.ConnAckPacket().write(),
        mqtt5.AuthPacket(authentication_method="x").write(),
        mqtt5.DisconnectPacket().write(),
        mqtt5.DisconnectPacket(
            reason_code=mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
            session_expiry_interval=9,
            reason_str="bye",
        ).write(),
        bytes.fromhex("820b000100" + "0005" + b"a/#/b".hex() + "00"),  # SUBSCRIBE, # in the middle
    ]
    return found


def old_seeds() -> list[bytes]:
    """The same of MQTT 3.1.1."""
    found = [
        old_client.publish(topic, b"\x00\xff" * 8, qos, 7, retain=bool(number % 2))
        for number, topic in enumerate(_TOPICS)
        for qos in (0, 1, 2)
    ]
    found += [old_client.subscribe((pattern, qos)) for pattern in _FILTERS for qos in (0, 1, 2)]
    found += [
        old_client.publish("dt/a", b"x" * 140_000, 1),
        old_client.subscribe(*((pattern, 1) for pattern in _FILTERS)),
        old_client.subscribe(*((f"dt/{number}", 1) for number in range(9))),
        old_client.subscribe(("a/#/b", 1)),
        old_client.unsubscribe(*_FILTERS),
        *(old_client.puback(number) for number in range(1, 5)),
        *(old_client.packet(first, b"\x00\x01") for first in (0x50, 0x62, 0x70, 0xB0)),
        old_client.PINGREQ,
        old_client.GOODBYE,
        b"\xd0\x00",
        b"\x20\x02\x00\x00",
        b"\x30\xff\xff\xff\x7f",
        old_client.connect("h1"),
    ]
    return found


def _old_connects() -> list[bytes]:
    return [
        old_client.connect(""),
        old_client.connect("h1", keep_alive=1),
        old_client.connect("h2", clean=False, will=("dt/will", b"gone", 1, True)),
        old_client.connect("h3", clean=False, username="u", password=b"\xff"),
        bytes.fromhex("101100064d51497364700302003c0003616263"),  # MQTT 3.1
    ]


def _connects() -> list[bytes]:
    will = mqtt5.Will("dt/will", payload=b"gone", qos=mqtt5.QoS.AT_LEAST_ONCE, retain=True)
    return [
        mqtt5.ConnectPacket("", clean_start=True).write(),
        mqtt5.ConnectPacket("h1", clean_start=True, keep_alive=1).write(),
        mqtt5.ConnectPacket("h2", session_expiry_interval=60, will=will).write(),
        mqtt5.ConnectPacket(
            "h3", session_expiry_interval=9, receive_max=1, max_packet_size=512, username="u"
        ).write(),
    ]


class Target:
    """A broker with well-behaved clients that notice when service stops."""

    def __init__(self) -> None:
        certificate = ClientCertificate(b"fuzz")
        registry = Registry()
        registry.register_certificate(certificate.certificate_id)
        registry.put_policy(Policy.parse("fuzz", _POLICY))
        registry.attach_policy("fuzz", certificate.certificate_id)
        ids = itertools.count()
        self.broker = Broker(
            registry,
            new_id=lambda: f"id-{next(ids)}",
            choose=lambda below: 0 * below,
            unix_s_at_zero=0.0,
            limits=_LIMITS,
        )
        self.now_s = 0.0
        self._hostile = Peer(certificate, "192.0.2.1")
        self._friendly = Peer(certificate, "127.0.0.1")
        self._listener = self._join("control-listener")
        entry = mqtt5.TopicFilter(_CONTROL_TOPIC, max_qos=mqtt5.QoS.AT_MOST_ONCE)
        self._tell(self._listener, mqtt5.SubscribePacket(1, [entry]).write())
        self._speaker = self._join("control-speaker")
        self._old_listener = self.broker.open(self._friendly, self.now_s)
        self._tell(self._old_listener, old_client.connect("control-old"))
        self._tell(self._old_listener, old_client.subscribe((_CONTROL_TOPIC, 0)))

    def attack(self, packets: list[bytes]) -> None:
        """One hostile connection that sends these packets, each in a piece of its own."""
        connection = self.broker.open(self._hostile, self.now_s)
        for packet in packets:
            self.broker.receive(connection, packet, self.now_s)
        if connection.state is not State.CLOSED and len(packets[-1]) % 2:
            self.broker.lost(connection, self.now_s)
        self.now_s += 0.05
        self.broker.advance(self.now_s)
        self.broker.take_outputs()

    def check(self) -> None:
        """The friendly clients still reach each other, and nothing has grown."""
        probe = mqtt5.PublishPacket(_CONTROL_TOPIC, b"still here").write()
        for connection in (self._speaker, self._listener, self._old_listener):
            self._tell(connection, mqtt5.PingReqPacket().write())
        said = self._tell(self._speaker, probe)
        heard = said.get(self._listener.connection_id, b"")
        assert heard == probe, f"the listener heard {heard!r}"
        heard = said.get(self._old_listener.connection_id, b"")
        assert heard == old_client.publish(_CONTROL_TOPIC, b"still here"), f"the old one {heard!r}"
        assert len(self.broker.clients()) <= _LIMITS.sessions
        budget = self.broker._lifetimes._budget.used_bytes
        assert 0 <= budget <= _LIMITS.queued_bytes_total, budget

    def _join(self, client_id: str) -> Connection:
        connection = self.broker.open(self._friendly, self.now_s)
        self._tell(connection, mqtt5.ConnectPacket(client_id, clean_start=True).write())
        assert connection.state is State.CONNECTED
        return connection

    def _tell(self, connection: Connection, packet: bytes) -> dict[int, bytes]:
        self.broker.receive(connection, packet, self.now_s)
        return {output.connection_id: output.data for output in self.broker.take_outputs()}


def _damage(rng: random.Random, packet: bytes) -> bytes:
    changed = bytearray(packet)
    for _ in range(rng.randrange(3)):
        where = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[where:where] = rng.randbytes(1)
            case 1:
                del changed[where : where + 1]
            case 2 if where < len(changed):
                changed[where] ^= 1 << rng.randrange(8)
            case 3 if where < len(changed):
                changed[where] = rng.randrange(256)
            case _:
                del changed[where:]
    # Half the time the length is put right again, so that the damage reaches the decoder.
    if len(changed) > 2 and rng.randrange(2):
        changed[1] = min(len(changed) - 2, 127)
    return bytes(changed)


def fuzz(inputs: int, seed: int) -> None:
    """Try damaged packets.

    Args:
        inputs: How many packets.
        seed: Makes the run repeatable.

    Raises:
        AssertionError: The invariant broke; the text holds the packets of the connection.
    """
    rng = random.Random(seed)
    versions = [(seeds(), _connects()), (old_seeds(), _old_connects())]
    everything = versions[0][0] + versions[1][0]
    target = Target()
    done = 0
    checked = 0
    while done < inputs:
        valid, connects = versions[rng.randrange(2)]
        packets = [rng.choice(connects)]
        if not rng.randrange(8):
            packets[0] = _damage(rng, packets[0])
        for _ in range(rng.randrange(1, 12)):
            if rng.randrange(40):
                packet = rng.choice(valid if rng.randrange(10) else everything)
                packets.append(_damage(rng, packet) if rng.randrange(3) else packet)
            else:
                packets.append(rng.randbytes(rng.randrange(1, 60)))
        done += len(packets)
        try:
            target.attack(packets)
            if done - checked >= _CONTROL_EVERY:
                checked = done
                target.check()
        except BaseException as error:
            shown = ", ".join(packet.hex() for packet in packets)
            raise AssertionError(f"{type(error).__name__}: {error} on [{shown}]") from error
    target.check()


def main() -> None:
    """Command line of the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.perf_counter()
    fuzz(options.inputs, options.seed)
    took_s = time.perf_counter() - began_s
    sys.stdout.write(
        f"{options.inputs} inputs in {took_s:.1f} s, {options.inputs / took_s:,.0f}/s: all held\n"
    )


if __name__ == "__main__":
    main()
