"""Who can be spoken to: the interface, how a conversation is held, and the stand-in itself."""

from __future__ import annotations

import functools
import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import botocore.session
import mqtt5

from certs.authority import create_authority
from simulator.iotcore.api.operations import Operations
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.cloud import Cloud
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.registry import Registry, Thing
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from tests.second_opinion.masking import decoded, masked, picked, refusal
from tests.second_opinion.script import Arn, Call, Recall
from tests.simulator.iotcore.conftest import ACCOUNT_ID, ALLOW_ALL, ARN, REGION, Bench

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.second_opinion.script import Conversation, Document, Publish, Step

THING, POLICY = "car-1", "vehicle"
"""What every account has when a conversation begins."""

UNIX_S_AT_ZERO = 1_700_000_000.0
"""Of the stand-in."""

STEP_S = 1.0
"""Time between two steps."""


class CallFailed(Exception):  # noqa: N818 - an answer, not an error of ours
    """An API call was refused."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(code)
        self.document = refusal(code, status, message)


class Party(Protocol):
    """An account with one device, `car-1`, connected over MQTT.

    Attributes:
        arn_prefix: What the ARNs of its resources start with.
    """

    arn_prefix: str

    def subscribe(self, filters: Sequence[str]) -> None:
        """Have the device subscribe."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Have the device publish at QoS 1."""

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> Any:
        """Call the API.

        Raises:
            CallFailed: It is refused.
        """

    def heard(self) -> list[tuple[str, bytes]]:
        """Topic and payload of what the device received since the last question."""


def hold(conversation: Conversation, party: Party) -> list[dict[str, Any]]:
    """Hold a conversation and give what was observed at each step."""
    party.subscribe(conversation.listens)
    party.heard()
    kept: dict[str, Any] = {}
    return [_observe(step, party, kept) for step in conversation.steps]


def _observe(step: Step, party: Party, kept: dict[str, Any]) -> dict[str, Any]:
    outcome: dict[str, Any] = {}
    if isinstance(step.say, Call):
        try:
            request = _filled(step.say.request, party, kept)
            result = party.call(step.say.service, step.say.operation, request)
        except CallFailed as failure:
            outcome["refused"] = failure.document
        else:
            outcome["result"] = masked(picked(_plain(result), tuple(step.say.pick)))
    else:
        party.publish(step.say.topic, _payload(step.say, party, kept))
    messages: dict[str, Any] = {}
    for topic, payload in party.heard():
        document = decoded(payload)
        for name, (source, member) in step.keep.items():
            if topic == source and isinstance(document, dict):
                kept[name] = document.get(member)
        if topic in messages:
            messages[topic] = [messages[topic], masked(document)]
        else:
            messages[topic] = masked(document)
    return {"messages": messages, **outcome}


def _payload(say: Publish, party: Party, kept: Mapping[str, Any]) -> bytes:
    if isinstance(say.payload, bytes):
        return say.payload
    return json.dumps(_filled(say.payload, party, kept)).encode()


def _filled(value: Document, party: Party, kept: Mapping[str, Any]) -> Any:
    """A request with ARNs and what was kept filled in."""
    if isinstance(value, Arn):
        return party.arn_prefix + value.resource
    if isinstance(value, Recall):
        return kept.get(value.name)
    if isinstance(value, dict):
        return {name: _filled(member, party, kept) for name, member in value.items()}
    if isinstance(value, list):
        return [_filled(element, party, kept) for element in value]
    return value


def _plain(result: Any) -> Any:
    """A result with blobs decoded."""
    if isinstance(result, bytes):
        return decoded(result)
    if isinstance(result, dict):
        return {name: _plain(value) for name, value in result.items()}
    return result


@functools.cache
def _model(service: str) -> Any:
    return botocore.session.Session().get_service_model(service)


class StandIn:
    """The stand-in, in this process and without sockets."""

    def __init__(self) -> None:
        self.arn_prefix = ARN
        numbers = itertools.count(1)
        registry = Registry()
        registry.put_thing(Thing(THING))
        registry.put_policy(Policy.parse(POLICY, ALLOW_ALL))
        authority = create_authority("Test CA", datetime(2023, 1, 1, tzinfo=UTC))
        self._cloud = cloud = Cloud(
            registry,
            DevelopmentAuthority(authority),
            account=Account(REGION, ACCOUNT_ID),
            new_id=lambda: f"id-{next(numbers)}",
            unix_s_at_zero=UNIX_S_AT_ZERO,
        )
        self._bench = Bench(ALLOW_ALL, reserved=cloud.desk, registry=registry)
        self._device = self._bench.join(THING)
        self._operations = Operations(
            cloud,
            self._bench.broker,
            Limits(),
            unix_s_at_zero=UNIX_S_AT_ZERO,
            new_id=lambda: f"api-{next(numbers)}",
            read_object=lambda _bucket, _key: None,
        )

    def subscribe(self, filters: Sequence[str]) -> None:
        """Have the device subscribe."""
        codes = self._device.subscribe(*filters).reason_codes
        assert {int(code) for code in codes} == {1}, codes

    def publish(self, topic: str, payload: bytes) -> None:
        """Have the device publish at QoS 1."""
        self._bench.wait(STEP_S)
        self._device.publish(topic, payload, qos=1)

    def call(self, service: str, operation: str, request: Mapping[str, Any]) -> Any:
        """Call the operation of a service."""
        self._bench.wait(STEP_S)
        served = self._operations.find(service, operation)
        assert served is not None, operation
        now_s = self._bench.now_s
        try:
            outcome = served.handle(dict(request), now_s)
        except ServiceFailure as failure:
            raise CallFailed(failure.code, failure.http_status, failure.message) from failure
        assert isinstance(outcome, tuple)
        result, answers = outcome
        self._bench.broker.answer(answers, now_s)
        self._bench.collect()
        # What an SDK would show of it.
        shape = _model(service).operation_model(operation).output_shape
        return {name: result[name] for name in result if shape and name in shape.members}

    def heard(self) -> list[tuple[str, bytes]]:
        """What the device received; it acknowledges everything."""
        packets = self._device.take(mqtt5.PublishPacket)
        for packet in packets:
            if packet.packet_id is not None:
                self._device.acknowledge(packet)
        return [(packet.topic, packet.payload) for packet in packets]
