"""Custom authorizers: what clients present, what the function is asked, what its answer is worth.

Pure: the function is invoked elsewhere. Sources: AWS IoT Core developer guide, "Custom
authentication and authorization", with its parts "Connecting to AWS IoT Core by using custom
authentication" and "Defining your Lambda function". Tokens, passwords and signatures appear in no
text.

What AWS does not say and was chosen here: an answer out of bounds is worth nothing, as if the
function had failed; without `disconnectAfterInSeconds` the connection lasts the maximum, without
`refreshAfterInSeconds` the function is not asked again.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from certs.errors import ConfigurationError
from simulator.iotcore.permissions.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from simulator.iotcore.registry import Registry
    from simulator.iotcore.registry.records import CustomAuthorizer
    from simulator.iotcore.transports.first_packet import Credentials

NAME: Final = "x-amz-customauthorizer-name"
SIGNATURE: Final = "x-amz-customauthorizer-signature"
SECONDS_MIN: Final = 300
SECONDS_MAX: Final = 86_400
POLICIES_MAX: Final = 10
FIELDS_MAX: Final = 200
"""Parameters of one query string."""

_NAME_CHARACTERS_SHOWN: Final = 128
_PRINCIPAL: Final = re.compile(r"[a-zA-Z0-9]{1,128}")


class NotAuthorized(Exception):  # noqa: N818 - an outcome that callers expect
    """The client is refused. The text is for the log of the stand-in, not for the client."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The part of an HTTP request that an authorizer sees.

    Attributes:
        headers: Names as the client wrote them.
        query: What follows the question mark, encoded; may be empty.
    """

    headers: Mapping[str, str]
    query: str


@dataclass(frozen=True, slots=True)
class Presented:
    """Everything a client presented.

    Attributes:
        connection_id: For the function's log.
        server_name: Server name of TLS; empty when there was none.
        http: The request, for HTTPS and WebSocket.
        mqtt: The CONNECT, for MQTT and WebSocket.
    """

    connection_id: str
    server_name: str = ""
    http: HttpRequest | None = field(default=None, repr=False)
    mqtt: Credentials | None = None

    def value(self, name: str) -> str | None:
        """A value that clients put into the user name's query, a header, or the query.

        Args:
            name: In lower case.
        """
        for key, value in self._values():
            if key.lower() == name:
                return value
        return None

    def _values(self) -> Iterable[tuple[str, str]]:
        if self.mqtt is not None and self.mqtt.user_name is not None:
            yield from _query(self.mqtt.user_name.partition("?")[2])
        if self.http is not None:
            yield from self.http.headers.items()
            yield from _query(self.http.query)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an authorizer allows.

    Attributes:
        principal_id: Name of the client in events.
        policies: What it may do.
        disconnect_after_s: How long the connection may last.
        refresh_after_s: When to ask again; None for never.
    """

    principal_id: str
    policies: tuple[Policy, ...]
    disconnect_after_s: int
    refresh_after_s: int | None


def is_wanted(registry: Registry, presented: Presented) -> bool:
    """Whether a client asks for an authorizer, or gets the default one."""
    return registry.default_authorizer is not None or presented.value(NAME) is not None


def chosen(registry: Registry, presented: Presented) -> CustomAuthorizer:
    """The authorizer of a client.

    Raises:
        NotAuthorized: It names none, or one that does not exist or is not active.
    """
    name = presented.value(NAME) or registry.default_authorizer
    if name is None:
        raise NotAuthorized("no authorizer is named, and there is no default one")
    found = registry.authorizers.get(name)
    if found is None or not found.is_active:
        raise NotAuthorized(f"there is no active authorizer {name[:_NAME_CHARACTERS_SHOWN]!r}")
    return found


def event_for(authorizer: CustomAuthorizer, presented: Presented) -> dict[str, Any]:
    """What the function gets.

    Raises:
        NotAuthorized: The token is missing or none of the keys signed it.
    """
    key_name = authorizer.token_key_name
    token = presented.value(key_name.lower()) if key_name is not None else None
    is_verified = not authorizer.signing_disabled
    if is_verified:
        _verify(authorizer, token, presented.value(SIGNATURE))
    data: dict[str, Any] = {"tls": {"serverName": presented.server_name}}
    if presented.http is not None:
        query = presented.http.query
        data["http"] = {
            "headers": dict(presented.http.headers),
            "queryString": f"?{query}" if query else "",
        }
    if presented.mqtt is not None:
        data["mqtt"] = _mqtt(presented.mqtt)
    event: dict[str, Any] = {
        "signatureVerified": is_verified,
        "protocols": list(data),
        "protocolData": data,
        "connectionMetadata": {"id": presented.connection_id},
    }
    return event if token is None else {"token": token, **event}


def read_grant(answer: Any, authorizer: CustomAuthorizer) -> Grant:
    """What the function's answer grants.

    Raises:
        NotAuthorized: It says no, or breaks the rules for answers.
    """
    if not isinstance(answer, dict):
        raise NotAuthorized("the function did not return an object")
    if answer.get("isAuthenticated") is not True:
        raise NotAuthorized("the function says isAuthenticated is not true")
    principal_id = answer.get("principalId")
    if not isinstance(principal_id, str) or _PRINCIPAL.fullmatch(principal_id) is None:
        raise NotAuthorized("principalId must be 1 to 128 letters and digits")
    return Grant(
        principal_id,
        _policies(answer.get("policyDocuments"), authorizer.name),
        _seconds(answer, "disconnectAfterInSeconds") or SECONDS_MAX,
        _seconds(answer, "refreshAfterInSeconds"),
    )


def _verify(authorizer: CustomAuthorizer, token: str | None, signature: str | None) -> None:
    """Check an RSA signature with SHA-256 (guide, "Signing the token")."""
    if token is None or signature is None:
        raise NotAuthorized(
            f"{authorizer.name} needs a signed token in {authorizer.token_key_name}"
        )
    try:
        # A plus sign that was not percent-encoded arrives as a blank.
        raw = base64.b64decode(signature.replace(" ", "+"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotAuthorized("the token's signature is not base64") from error
    for pem in authorizer.signing_keys.values():
        try:
            key = load_pem_public_key(pem.encode())
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(raw, token.encode(), padding.PKCS1v15(), SHA256())
                return
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            continue
    raise NotAuthorized("no key of the authorizer signed the token")


def _mqtt(credentials: Credentials) -> dict[str, str]:
    found = {"clientId": credentials.client_id} if credentials.client_id else {}
    if credentials.user_name is not None:
        found["username"] = credentials.user_name
    if credentials.password is not None:
        found["password"] = base64.b64encode(credentials.password).decode()
    return found


def _policies(documents: Any, name: str) -> tuple[Policy, ...]:
    if not isinstance(documents, list) or len(documents) > POLICIES_MAX:
        raise NotAuthorized(f"policyDocuments must be a list of at most {POLICIES_MAX}")
    return tuple(_parsed(documents, name))


def _parsed(documents: Sequence[Any], name: str) -> Iterable[Policy]:
    for number, document in enumerate(documents):
        text = document if isinstance(document, str) else json.dumps(document, default=str)
        try:
            yield Policy.parse(f"{name}[{number}]", text)
        except ConfigurationError as error:
            raise NotAuthorized(error.what) from error


def _seconds(answer: Mapping[str, Any], name: str) -> int | None:
    value = answer.get(name)
    if value is None:
        return None
    if type(value) is not int or not SECONDS_MIN <= value <= SECONDS_MAX:
        raise NotAuthorized(f"{name} must be {SECONDS_MIN} to {SECONDS_MAX}")
    return value


def _query(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        return []
