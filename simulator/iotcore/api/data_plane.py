"""The operations of `iot-data` that concern the broker: publishing, retained messages, connections.

Owns what each one checks and answers (`iot-data` service model; AWS IoT Core developer guide,
"HTTPS", "Retained messages", "Managing MQTT client connections", "Direct messaging"). Asks the
broker and nobody else. Waiting for a confirmation is left to the caller.

What AWS does not say and was chosen here: the order of retained topics is alphabetical, of
subscriptions that of subscribing; the token of a page is the last entry in base64; a direct message
to a client whose policies lack `iot:Receive` fails with ForbiddenException.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.topics import is_reserved, topic_fault
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.broker.joints import Answer, ReservedTopics
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.registry import Registry

    Request = Mapping[str, Any]
    Result = dict[str, Any]

CONFIRMATION_S: Final = 5
CONFIRMATION_S_MAX: Final = 15
RETAINED_PER_PAGE: Final = 200
SUBSCRIPTIONS_PER_PAGE: Final = 20

_UTF8_DATA: Final = "UTF8_DATA"


class Confirmation:
    """A direct message that is on its way, while its client has not acknowledged it.

    Args:
        result: What to answer once it has.
        timeout_s: How long to wait.
    """

    def __init__(self, result: Result, timeout_s: float) -> None:
        self.result = result
        self.timeout_s = timeout_s
        self.is_confirmed = False
        self._listener: Callable[[], object] | None = None

    def confirm(self) -> None:
        """The client has acknowledged it."""
        self.is_confirmed = True
        if self._listener is not None:
            self._listener()

    def then(self, listener: Callable[[], object]) -> None:
        """Call this once the client has acknowledged it, at once if it has already."""
        self._listener = listener
        if self.is_confirmed:
            listener()

    @staticmethod
    def missed() -> ServiceFailure:
        """What to answer when the time is over."""
        return ServiceFailure(
            "GatewayTimeoutException", "The client did not confirm the message in time", 504
        )


class DataPlane:
    """Publishing, retained messages and connections, as HTTP operations.

    Args:
        broker: Does it all.
        registry: Which thing a connection stands for.
        reserved: Which `$` topics may be published to.
        limits: Sizes of a message.
        unix_s_at_zero: Unix time when the broker's clock was 0.
        new_id: Makes trace ids.
    """

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        reserved: ReservedTopics,
        limits: Limits,
        *,
        unix_s_at_zero: float,
        new_id: Callable[[], str],
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._reserved = reserved
        self._limits = limits
        self._unix_s_at_zero = unix_s_at_zero
        self._new_id = new_id

    # Messages

    def publish(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """Publish. Reaches subscribers and the services behind reserved topics.

        Raises:
            ServiceFailure: InvalidRequestException, RequestEntityTooLargeException, or
                ThrottlingException when no more messages can be retained.
        """
        message = self._message(request, int(request.get("qos", 0)), now_s)
        topic = message.topic
        if is_reserved(topic):
            if message.retain:
                raise _invalid("messages on reserved topics cannot be retained")
            if not self._reserved.may_publish(topic):
                raise _invalid(f"{topic} is not a reserved topic that takes messages")
        if message.retain and message.payload:
            retained = self._broker.retained
            if not retained.has_place(topic, now_s):
                self._broker.counters.refuse(Cause.QUOTA_RETAINED_MESSAGES, "")
                raise ServiceFailure("ThrottlingException", "Too many retained messages", 429)
        self._broker.counters.publishes_in += 1
        self._broker.publish(message, now_s)
        return self._ok(), []

    def send_direct_message(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]] | Confirmation:
        """SendDirectMessage: to one connected client, subscribed or not.

        Returns:
            The result; with `confirmation`, what waits for the client's PUBACK.

        Raises:
            ServiceFailure: InvalidRequestException, RequestEntityTooLargeException,
                ResourceNotFoundException when the client is not connected, or ForbiddenException
                when its policies do not let it receive from the topic.
        """
        client_id = request["clientId"]
        wants_confirmation = bool(request.get("confirmation"))
        timeout_s = request.get("timeout", CONFIRMATION_S)
        if wants_confirmation and not 1 <= timeout_s <= CONFIRMATION_S_MAX:
            raise _invalid(f"timeout must be from 1 to {CONFIRMATION_S_MAX} seconds")
        message = self._message(request, 1 if wants_confirmation else 0, now_s)
        if is_reserved(message.topic):
            raise _invalid("direct messages cannot be sent on reserved topics")
        if self._broker.connection_of(client_id) is None:
            raise _not_connected(client_id)
        if not self._broker.may_receive(client_id, message.topic):
            raise ServiceFailure(
                "ForbiddenException", "The client is not allowed to receive from the topic", 403
            )
        confirmation = Confirmation(self._ok(), timeout_s)
        acknowledged = confirmation.confirm if wants_confirmation else None
        if not self._broker.send_direct(client_id, message, now_s, acknowledged):
            raise _not_connected(client_id)
        return confirmation if wants_confirmation else (confirmation.result, [])

    def _ok(self) -> Result:
        return {"message": "OK", "traceId": self._new_id()}

    def _message(self, request: Request, qos: int, now_s: float) -> Message:
        limits = self._limits
        topic = request["topic"]
        fault = topic_fault(topic, limits.topic_bytes, limits.topic_slashes)
        if fault is not None:
            raise _invalid(f"the topic is not valid: {fault}")
        payload = request.get("payload", b"")
        if len(payload) > limits.payload_bytes:
            raise ServiceFailure(
                "RequestEntityTooLargeException",
                f"the payload has more than {limits.payload_bytes} bytes",
                413,
            )
        is_utf8 = request.get("payloadFormatIndicator") == _UTF8_DATA
        if is_utf8 and not _is_utf8(payload):
            raise _invalid("the payload is not UTF-8 as payloadFormatIndicator says")
        response_topic = request.get("responseTopic")
        if response_topic is not None and topic_fault(response_topic) is not None:
            raise _invalid("responseTopic must be a topic without wildcards")
        content_type = request.get("contentType")
        if content_type is not None and len(content_type.encode()) > limits.content_type_bytes:
            raise _invalid(f"contentType must have at most {limits.content_type_bytes} bytes")
        expiry_s = request.get("messageExpiry")
        if expiry_s is not None and expiry_s < 0:
            raise _invalid("messageExpiry must not be negative")
        return Message(
            topic,
            payload,
            qos,
            now_s,
            retain=bool(request.get("retain")),
            expiry_s=limits.message_expiry_s(expiry_s),
            payload_format=int(is_utf8),
            content_type=content_type,
            response_topic=response_topic,
            correlation_data=self._correlation_data(request),
            user_properties=self._user_properties(request),
        )

    def _correlation_data(self, request: Request) -> bytes | None:
        text = request.get("correlationData")
        if text is None:
            return None
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _invalid("correlationData must be base64") from None
        if len(data) > self._limits.correlation_data_bytes:
            most = self._limits.correlation_data_bytes
            raise _invalid(f"correlationData must have at most {most} bytes")
        return data

    def _user_properties(self, request: Request) -> Sequence[tuple[str, str]]:
        document = request.get("userProperties")
        if document is None:
            return ()
        if isinstance(document, str):
            # SDKs encode whatever they get as JSON: also the text that the reference asks for.
            document = _decoded(document)
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            raise _invalid("userProperties must be a JSON array of objects")
        pairs = [(str(name), value) for each in document for name, value in each.items()]
        if not all(isinstance(value, str) for _, value in pairs):
            raise _invalid("the values of userProperties must be strings")
        size = sum(len(name.encode()) + len(value.encode()) for name, value in pairs)
        if size > self._limits.user_properties_bytes:
            most = self._limits.user_properties_bytes
            raise _invalid(f"userProperties must have at most {most} bytes")
        return pairs

    # Retained messages

    def get_retained_message(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """GetRetainedMessage.

        Raises:
            ServiceFailure: ResourceNotFoundException.
        """
        message = self._broker.retained.get(request["topic"], now_s)
        if message is None:
            raise ServiceFailure(
                "ResourceNotFoundException", "No retained message exists on the topic", 404
            )
        result = self._retained(message) | {"payload": message.payload}
        if message.user_properties:
            properties = [{name: value} for name, value in message.user_properties]
            result["userProperties"] = msgspec.json.encode(properties)
        return result, []

    def list_retained_messages(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """ListRetainedMessages.

        Raises:
            ServiceFailure: InvalidRequestException for a token that is not one.
        """
        size = request.get("maxResults", RETAINED_PER_PAGE)
        after = _read_token(request)
        retained = self._broker.retained
        found: list[Message] = []
        for topic in sorted(topic for topic in retained.topics() if topic > after):
            message = retained.get(topic, now_s)
            if message is not None:
                found.append(message)
            if len(found) > size:
                break
        entries = [
            self._retained(message) | {"payloadSize": len(message.payload)}
            for message in found[:size]
        ]
        token = _write_token(entries[-1]["topic"]) if len(found) > size else None
        return without_nulls({"retainedTopics": entries, "nextToken": token}), []

    def _retained(self, message: Message) -> Result:
        return {
            "topic": message.topic,
            "qos": message.qos,
            "lastModifiedTime": self._unix_ms(message.received_at_s + self._unix_s_at_zero),
        }

    # Connections

    def get_connection(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """GetConnection, until half an hour after the end of a connection.

        Raises:
            ServiceFailure: ResourceNotFoundException.
        """
        client_id = request["clientId"]
        known = self._broker.connectivity(client_id, now_s)
        if known is None:
            raise _not_connected(client_id)
        at_ms = self._unix_ms(known.since_unix_s)
        principal = known.peer.principal
        thing = principal.thing(self._registry, client_id) if principal is not None else None
        result: Result = {
            "connected": known.is_connected,
            "clientId": client_id,
            "thingName": None if thing is None else thing.name,
            "cleanSession": known.session_expiry_s == 0,
            "keepAliveDuration": known.keep_alive_s,
            "connectedSince" if known.is_connected else "disconnectedSince": at_ms,
            "disconnectReason": None if known.reason is None else known.reason.value,
            "sessionExpiry": known.session_expiry_s,
        }
        if request.get("includeSocketInformation"):
            result["sourceIp"] = known.peer.source_ip
            result["sourcePort"] = known.peer.source_port or None
        return without_nulls(result), []

    def delete_connection(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteConnection.

        Raises:
            ServiceFailure: ResourceNotFoundException.
        """
        client_id = request["clientId"]
        is_found = self._broker.disconnect(
            client_id,
            now_s,
            clean_session=bool(request.get("cleanSession")),
            prevent_will=bool(request.get("preventWillMessage")),
        )
        if not is_found:
            raise _not_connected(client_id)
        return {}, []

    def list_subscriptions(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListSubscriptions of a client with a session, connected or not.

        Raises:
            ServiceFailure: ResourceNotFoundException, or InvalidRequestException for a token whose
                subscription is gone.
        """
        client_id = request["clientId"]
        subscriptions = self._broker.subscriptions_of(client_id)
        if subscriptions is None:
            raise _not_connected(client_id)
        size = request.get("maxResults", SUBSCRIPTIONS_PER_PAGE)
        after = _read_token(request)
        start = 0
        if after:
            filters = [topic_filter for topic_filter, _ in subscriptions]
            if after not in filters:
                raise _invalid("nextToken is not valid")
            start = filters.index(after) + 1
        page = subscriptions[start : start + size]
        more = start + size < len(subscriptions)
        listed = [{"topicFilter": topic_filter, "qos": qos} for topic_filter, qos in page]
        token = _write_token(page[-1][0]) if more else None
        return without_nulls({"subscriptions": listed, "nextToken": token}), []

    @staticmethod
    def _unix_ms(unix_s: float) -> int:
        return round(unix_s * 1000)


def _decoded(text: str) -> Any:
    """A JSON document; None when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _write_token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(request: Request) -> str:
    """What a token says; empty without one."""
    token = request.get("nextToken")
    if not token:
        return ""
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _invalid("nextToken is not valid") from None


def _invalid(message: str) -> ServiceFailure:
    return ServiceFailure("InvalidRequestException", message)


def _not_connected(client_id: str) -> ServiceFailure:
    return ServiceFailure(
        "ResourceNotFoundException", f"Client {client_id} does not exist or is not connected", 404
    )
