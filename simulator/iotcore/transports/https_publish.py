"""Publishing over HTTPS: `POST /topics/<topic>` with a client certificate or a custom authorizer.

AWS IoT Core developer guide, "HTTPS"; the parameters and headers for MQTT 5 are those of the
Publish operation in the AWS IoT data plane's API reference. Policies, quotas and retained messages
are the broker's. What AWS does not say and was chosen here: a parameter with a value it cannot have
is answered 400.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from simulator.iotcore.broker.message import Message
from simulator.iotcore.broker.publish_requests import Verdict
from simulator.iotcore.transports.custom_authorizer import FIELDS_MAX, HttpRequest, Presented
from simulator.iotcore.transports.http_entry import (
    gateway_answer,
    path_of,
    query_of,
    read_body,
    refusal,
)
from simulator.iotcore.transports.peers import peer_by_certificate, peer_by_principal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from aiohttp import web

    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.broker.peer import Peer
    from simulator.iotcore.tls import LiveTls
    from simulator.iotcore.transports.authentication import CustomAuthentication
    from simulator.iotcore.transports.links import Links

PREFIX: Final = "/topics/"

_ANSWERS: Final = {
    Verdict.FORBIDDEN: (403, "Forbidden", "ForbiddenException"),
    Verdict.INVALID: (400, "Bad Request", "InvalidRequestException"),
    Verdict.TOO_LARGE: (413, "Request Entity Too Large", "RequestEntityTooLargeException"),
    Verdict.THROTTLED: (429, "Too Many Requests", "ThrottlingException"),
}
_PAYLOAD_FORMATS: Final = {"UNSPECIFIED_BYTES": 0, "UTF8_DATA": 1}
_PAIRS: Final = msgspec.json.Decoder(list[dict[str, str]])
_BOOLEANS: Final = {"true": True, "false": False}


class RequestError(ValueError):
    """A request has a parameter with a value it cannot have."""


class HttpsPublish:
    """Serves the requests.

    Args:
        links: The broker.
        authentication: Custom authorizers.
        tls: Knows the server name a client asked for.
        limits: Bounds of message expiry.
    """

    def __init__(
        self, links: Links, authentication: CustomAuthentication, tls: LiveTls, limits: Limits
    ) -> None:
        self._links = links
        self._authentication = authentication
        self._tls = tls
        self._limits = limits

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Publish, or say why not."""
        body = await read_body(request)
        transport = request.transport
        if transport is None:
            return refusal(400, "Bad Request")
        peer = await self._peer(request, transport)
        now_s = self._links.now_s()
        try:
            message = self._message(request, body, now_s)
        except RequestError as error:
            return refusal(400, str(error), "InvalidRequestException")
        verdict = self._links.broker.publish_requests.publish(peer, message, now_s)
        self._links.wake()
        if verdict is Verdict.PUBLISHED:
            return gateway_answer({"message": "OK"})
        return refusal(*_ANSWERS[verdict])

    async def _peer(self, request: web.BaseRequest, transport: asyncio.BaseTransport) -> Peer:
        presented = Presented(
            str(uuid.uuid4()),
            self._tls.server_name(transport.get_extra_info("ssl_object")),
            HttpRequest(dict(request.headers), query_of(request)),
        )
        peer = peer_by_certificate(transport)
        if peer.principal is not None or not self._authentication.is_wanted(presented):
            return peer
        admission = await self._authentication.admit(presented)
        return peer_by_principal(transport, admission.principal)

    def _message(self, request: web.BaseRequest, body: bytes, now_s: float) -> Message:
        try:
            topic = unquote_to_bytes(path_of(request)[len(PREFIX) :]).decode()
            pairs = parse_qsl(
                query_of(request),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=FIELDS_MAX,
            )
        except ValueError as error:
            raise RequestError("the topic or the query is not percent-encoded UTF-8") from error
        query = dict(pairs)
        expiry = query.get("messageExpiry")
        return Message(
            topic,
            body,
            _one_of(query, "qos", {"0": 0, "1": 1}, 0),
            now_s,
            retain=_one_of(query, "retain", _BOOLEANS, False),
            expiry_s=None if expiry is None else self._limits.message_expiry_s(_number(expiry)),
            payload_format=_one_of(
                request.headers, "x-amz-mqtt5-payload-format-indicator", _PAYLOAD_FORMATS, 0
            ),
            content_type=query.get("contentType"),
            response_topic=query.get("responseTopic"),
            correlation_data=_correlation_data(request.headers.get("x-amz-mqtt5-correlation-data")),
            user_properties=_user_properties(request.headers.get("x-amz-mqtt5-user-properties")),
        )


def _one_of(values: Mapping[str, str], name: str, meanings: Mapping[str, Any], default: Any) -> Any:
    text = values.get(name)
    if text is None:
        return default
    if text not in meanings:
        raise RequestError(f"{name} must be one of {', '.join(meanings)}")
    return meanings[text]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 19:  # noqa: PLR2004 - a 64 bit long
        raise RequestError("messageExpiry must be a number of seconds")
    return int(text)


def _correlation_data(text: str | None) -> bytes | None:
    return None if text is None else _base64(text, "x-amz-mqtt5-correlation-data")


def _user_properties(text: str | None) -> list[tuple[str, str]]:
    """A JSON array of objects, base64 encoded: `[{"name": "value"}, ...]`."""
    if text is None:
        return []
    name = "x-amz-mqtt5-user-properties"
    try:
        objects = _PAIRS.decode(_base64(text, name))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{name} must be a JSON array of objects of strings") from error
    return [pair for entry in objects for pair in entry.items()]


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{name} is not base64") from error
