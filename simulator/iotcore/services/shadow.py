"""The Device Shadow service: classic and named shadows, over MQTT and as the HTTP operations.

Answers are ordinary publishes that everybody who subscribed receives, QoS 1. Sources: AWS IoT Core
developer guide "Device Shadow MQTT topics", "Interacting with shadows", "Device Shadow REST API";
member names and errors of the HTTP operations as in the `iot-data` service model. Does not know
rates: a quota that stops a request has it answered by `refuse`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import Members
from simulator.iotcore.services.shadow_document import DELTA, JsonObject, ShadowDocument, stamped
from simulator.iotcore.services.shadow_request import (
    INVALID_REQUEST,
    SHADOW_NAME,
    ShadowAddress,
    ShadowTopic,
    find_client_token,
    invalid,
    read_get,
    read_update,
    shadow_topic,
)
from simulator.iotcore.services.shadow_store import ShadowLimits, ShadowStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.services.members import Request, Result

NAMES_PER_PAGE = 25
NAMES_PER_PAGE_MAX = 100
UNIT_BYTES = 1024
"""A shadow operation is metered per started kilobyte of state (AWS IoT Core pricing)."""


class ShadowCounters:
    """What was asked of the service. Totals that only rise."""

    __slots__ = ("operations", "rejected", "units")

    def __init__(self) -> None:
        self.operations: dict[str, int] = {}
        self.rejected: dict[int, int] = {}
        self.units = 0

    def count(self, operation: str, size_bytes: int) -> None:
        """Count an operation that succeeded, and what AWS would meter for it."""
        self.operations[operation] = self.operations.get(operation, 0) + 1
        self.units += max(1, -(-size_bytes // UNIT_BYTES))

    def count_rejected(self, status: int) -> None:
        """Count an operation that failed."""
        self.rejected[status] = self.rejected.get(status, 0) + 1


class ShadowService:
    """All shadows of the account.

    Args:
        unix_s_at_zero: The Unix time at 0 of the broker's clock.
        limits: Bounds.
        thing_exists: Whether the registry has a thing; asked when `limits.things_must_exist`.
        breached: Called with the quota and the client when a quota of this service's own refuses a
            request that came over MQTT.

    Attributes:
        counters: Totals.
    """

    def __init__(
        self,
        unix_s_at_zero: float,
        *,
        limits: ShadowLimits | None = None,
        thing_exists: Callable[[str], bool] = lambda _name: True,
        breached: Callable[[Cause, str], None] = lambda _cause, _client_id: None,
    ) -> None:
        self._breached = breached
        self._unix_s_at_zero = unix_s_at_zero
        self._limits = limits or ShadowLimits()
        self._thing_exists = thing_exists
        self._store = ShadowStore(self._limits)
        self.counters = ShadowCounters()

    # Over MQTT

    def claims(self, topic: str, /) -> bool:
        """Whether the topic is `get`, `update` or `delete` of a shadow."""
        return shadow_topic(topic) is not None

    def handle(
        self,
        message: Message,
        client_id: str | None,
        now_s: float,
        /,
    ) -> Sequence[Answer]:
        """Serve a request. Whatever its payload, it is accepted or rejected, once."""
        request = shadow_topic(message.topic)
        if request is None:
            return ()
        try:
            return self._serve(request, message.payload, now_s)
        except ServiceFailure as failure:
            if failure.quota is not None:
                self._breached(failure.quota, client_id or "")
            return self._reject(request, message.payload, failure, now_s)

    def refuse(
        self, message: Message, failure: ServiceFailure, now_s: float, /
    ) -> Sequence[Answer]:
        """Answer a request that something else stops, such as a quota, without serving it.

        Args:
            message: The request.
            failure: Its status and message are the `code` and `message` of the answer.
            now_s: The time now.
        """
        request = shadow_topic(message.topic)
        if request is None:
            return ()
        return self._reject(request, message.payload, failure, now_s)

    def throttled(
        self,
        message: Message,
        client_id: str | None,  # noqa: ARG002 - part of the Service protocol
        now_s: float,
        /,
    ) -> Sequence[Answer]:
        """Reject a request with 429."""
        failure = ServiceFailure("ThrottlingException", "Too Many Requests", 429)
        return self.refuse(message, failure, now_s)

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Forget the versions of shadows deleted long ago."""
        self._store.forget(self._unix_s(now_s))
        return ()

    @property
    def next_deadline_s(self) -> float | None:
        """When the next version is forgotten."""
        unix_s = self._store.next_forgotten_unix_s
        # A little later, because there and back between the clocks may round to just before.
        return None if unix_s is None else unix_s - self._unix_s_at_zero + 0.001

    @property
    def changes(self) -> int:
        """Rises with every change of what `dump` gives."""
        return self._store.changes

    def dump(self) -> dict[str, Any]:
        """All shadows and the versions of deleted ones, as a JSON document."""
        return self._store.dump()

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged; nothing has changed.
        """
        self._store.load(document)

    def status(self) -> dict[str, Any]:
        """Totals and what is stored now."""
        return {
            "operations": dict(self.counters.operations),
            "rejected": dict(self.counters.rejected),
            "metered_units": self.counters.units,
            "shadows": self._store.shadows,
            "state_bytes": self._store.state_bytes,
            "versions_forgotten": self._store.versions_forgotten,
        }

    # The operations of the HTTP API. Requests and results have their members by AWS's names;
    # `payload`, the body of request and response, is bytes. Besides, what is published.

    def get_thing_shadow(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """GetThingShadow. Publishes nothing.

        Raises:
            ServiceFailure: ResourceNotFoundException, InvalidRequestException.
        """
        with _Counted(self.counters):
            return {"payload": _encode(self._get(_address(request), None, now_s))}, []

    def update_thing_shadow(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateThingShadow. Publishes the same as an update over MQTT.

        Raises:
            ServiceFailure: ConflictException, RequestEntityTooLargeException,
                InvalidRequestException, UnsupportedDocumentEncodingException.
        """
        with _Counted(self.counters):
            payload = request.get("payload", b"")
            if not isinstance(payload, bytes):
                raise invalid("payload must be bytes")
            accepted, answers = self._update(_address(request), payload, now_s)
        return {"payload": accepted}, answers

    def delete_thing_shadow(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteThingShadow. Publishes `delete/accepted`.

        Raises:
            ServiceFailure: ResourceNotFoundException, InvalidRequestException.
        """
        with _Counted(self.counters):
            address = _address(request)
            accepted = self._delete(address, None, now_s)
        answer = self._answer(address, "delete/accepted", accepted, now_s)
        return {"payload": answer.message.payload}, [answer]

    def list_named_shadows_for_thing(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListNamedShadowsForThing, in order of names. An unknown thing has none.

        A token says where the last page ended, so shadows that come or go do not shift the pages.

        Raises:
            ServiceFailure: InvalidRequestException.
        """
        with _Counted(self.counters):
            members = Members(request, INVALID_REQUEST)
            address = ShadowAddress(members.required_text("thingName"))
            address.check()
            size = members.integer("pageSize", 1, NAMES_PER_PAGE_MAX) or NAMES_PER_PAGE
            token = members.text("nextToken")
            after = _read_token(token) if token else None
        names = self._store.names(address.thing, after, size + 1)
        self.counters.count("list", 0)
        result: Result = {"results": names[:size]}
        if len(names) > size:
            result["nextToken"] = _write_token(names[size - 1])
        result["timestamp"] = self._timestamp(now_s)
        return result, []

    # What both have in common

    def _serve(self, request: ShadowTopic, payload: bytes, now_s: float) -> Sequence[Answer]:
        address, verb = request
        if verb == "update":
            return self._update(address, payload, now_s)[1]
        if verb == "get":
            document = self._get(address, read_get(payload), now_s)
        else:
            document = self._delete(address, find_client_token(payload), now_s)
        return (self._answer(address, f"{verb}/accepted", document, now_s),)

    def _get(self, address: ShadowAddress, client_token: str | None, now_s: float) -> JsonObject:
        self._check(address)
        found = self._store.get(address)
        if found is None:
            raise _not_found(address)
        self.counters.count("get", found.size_bytes)
        state = found.state()
        if delta := found.delta():
            state[DELTA] = delta
        return {
            "state": state,
            "metadata": found.metadata(),
            "version": found.version,
            "timestamp": self._timestamp(now_s),
        } | _token(client_token)

    def _update(
        self, address: ShadowAddress, payload: bytes, now_s: float
    ) -> tuple[bytes, list[Answer]]:
        self._check(address)
        if len(payload) > self._limits.payload_bytes:
            raise _too_large()
        request = read_update(payload, self._limits.levels)
        previous = self._store.get(address)
        base = self._store.predecessor(address, self._unix_s(now_s))
        if request.version is not None and request.version != base.version:
            raise ServiceFailure("ConflictException", "Version conflict", 409)
        timestamp = self._timestamp(now_s)
        stamp = {"timestamp": timestamp}
        current = base.updated(request.state, stamp)
        if current.size_bytes > self._limits.document_bytes:
            raise _too_large(Cause.QUOTA_SHADOW_DOCUMENT)
        self._store.put(address, current)
        self.counters.count("update", current.size_bytes)
        token = _token(request.client_token)
        accepted = {
            "state": request.state,
            "metadata": stamped(request.state, stamp),
            "version": current.version,
            "timestamp": timestamp,
        } | token
        answers = [self._answer(address, "update/accepted", accepted, now_s)]
        if delta := current.delta():
            document = {
                "version": current.version,
                "timestamp": timestamp,
                "state": delta,
                "metadata": current.delta_metadata(delta),
            } | token
            answers.append(self._answer(address, "update/delta", document, now_s))
        documents = _documents(previous, current, timestamp) | token
        answers.append(self._answer(address, "update/documents", documents, now_s))
        return answers[0].message.payload, answers

    def _delete(self, address: ShadowAddress, client_token: str | None, now_s: float) -> JsonObject:
        self._check(address)
        gone = self._store.delete(address, self._unix_s(now_s))
        if gone is None:
            raise _not_found(address)
        self.counters.count("delete", gone.size_bytes)
        document = {"version": gone.version, "timestamp": self._timestamp(now_s)}
        return document | _token(client_token)

    def _check(self, address: ShadowAddress) -> None:
        address.check()
        if self._limits.things_must_exist and not self._thing_exists(address.thing):
            raise ServiceFailure("ResourceNotFoundException", "Thing not found", 404)

    def _reject(
        self, request: ShadowTopic, payload: bytes, failure: ServiceFailure, now_s: float
    ) -> Sequence[Answer]:
        self.counters.count_rejected(failure.http_status)
        # Live rejections on record carry no timestamp; the developer guide calls it optional.
        document = {"code": failure.http_status, "message": failure.message}
        document |= _token(find_client_token(payload))
        return (self._answer(request.address, f"{request.verb}/rejected", document, now_s),)

    def _answer(
        self, address: ShadowAddress, tail: str, document: JsonObject, now_s: float
    ) -> Answer:
        return Answer(Message(f"{address.prefix}/{tail}", _encode(document), 1, now_s))

    def _unix_s(self, now_s: float) -> float:
        return now_s + self._unix_s_at_zero

    def _timestamp(self, now_s: float) -> int:
        return int(self._unix_s(now_s))


class _Counted:
    """Counts a failure that passes through."""

    __slots__ = ("_counters",)

    def __init__(self, counters: ShadowCounters) -> None:
        self._counters = counters

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: object, _traceback: object) -> None:
        """Count what went wrong, if anything did."""
        if isinstance(error, ServiceFailure):
            self._counters.count_rejected(error.http_status)


def _address(request: Request) -> ShadowAddress:
    members = Members(request, INVALID_REQUEST)
    return ShadowAddress(members.required_text("thingName"), members.text("shadowName"))


def _documents(
    previous: ShadowDocument | None, current: ShadowDocument, timestamp: int
) -> JsonObject:
    return {
        "previous": previous.snapshot() if previous else None,
        "current": current.snapshot(),
        "timestamp": timestamp,
    }


def _not_found(address: ShadowAddress) -> ServiceFailure:
    return ServiceFailure(
        "ResourceNotFoundException", f"No shadow exists with name: '{address.label}'", 404
    )


def _too_large(quota: Cause | None = None) -> ServiceFailure:
    return ServiceFailure(
        "RequestEntityTooLargeException",
        "The payload exceeds the maximum size allowed",
        413,
        quota=quota,
    )


def _token(client_token: str | None) -> JsonObject:
    return {} if client_token is None else {"clientToken": client_token}


def _encode(document: JsonObject) -> bytes:
    return msgspec.json.encode(document)


def _write_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        name = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        name = ""
    if SHADOW_NAME.fullmatch(name) is None:
        raise invalid("Invalid nextToken")
    return name
