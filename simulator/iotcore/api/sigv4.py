"""Who signed a request: AWS Signature Version 4, in the `Authorization` header or in the query.

Owns reading of signatures and, for access keys whose secret is known, checking them with botocore's
own signer. IAM is not emulated: whoever signed may do everything, and by default any access key is
taken, known or not. Secrets and session tokens stay in here; they appear in no text.
Source: AWS General Reference, "Authenticating requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, unquote_to_bytes

from simulator.iotcore.api.exchange import TargetError
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from simulator.iotcore.api.exchange import ApiRequest

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SKEW_S: Final = 15 * 60
"""How far the time of a signature may be from now, either way."""

PRESIGNED_S_MAX: Final = 7 * 86_400
TEMPORARY_KEYS_MAX: Final = 100_000
"""Temporary access keys remembered. Beyond, the oldest is forgotten, and is then unknown."""

_SCOPE_PARTS: Final = 5
_TIME: Final = "%Y%m%dT%H%M%SZ"
_UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_ACCESS_KEY: Final = re.compile(r"\w{1,128}", re.ASCII)
_TOKEN_PARAMETER: Final = "X-Amz-Security-Token"  # noqa: S105 - the name of a parameter
_SIGNATURE_PARAMETER: Final = "X-Amz-Signature"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as a request carries it, not checked.

    Attributes:
        access_key_id: Who says to have signed.
        region: The Region it was signed for.
        service: The service it was signed for, such as `iot`.
        timestamp: When, as written.
        signed_unix_s: When.
        signed_headers: Lower-case names of the headers it covers.
        expires_s: How long a presigned request is valid; None for one in a header.
        session_token: That of temporary credentials.
        value: The signature itself, hexadecimal.
    """

    access_key_id: str
    region: str
    service: str
    timestamp: str
    signed_unix_s: float
    signed_headers: tuple[str, ...]
    expires_s: int | None
    session_token: str | None = field(repr=False)
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key that is known.

    Attributes:
        access_key_id: Its id.
        secret_access_key: Its secret.
        session_token: For temporary credentials.
        expires_unix_s: When temporary credentials end.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_unix_s: float | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a request.

    Attributes:
        access_key_id: The access key.
        is_verified: Whether the secret was known and the signature is right.
    """

    access_key_id: str
    is_verified: bool


class Keyring:
    """The access keys that are known.

    Args:
        keys: Long-term keys. Requests signed with them are checked.
        accepts_unknown: Whether a request signed with any other access key is taken unchecked.
    """

    def __init__(self, keys: Iterable[AccessKey] = (), *, accepts_unknown: bool = True) -> None:
        self._accepts_unknown = accepts_unknown
        self._lasting = {key.access_key_id: key for key in keys}
        self._temporary: dict[str, AccessKey] = {}

    def add_temporary(self, key: AccessKey) -> None:
        """Know a temporary access key, until there are too many."""
        self._temporary[key.access_key_id] = key
        while len(self._temporary) > TEMPORARY_KEYS_MAX:
            del self._temporary[next(iter(self._temporary))]

    def check(
        self, signature: Signature, request: ApiRequest, unix_s: float, machine_unix_s: float
    ) -> Signer:
        """Who signed a request.

        Args:
            signature: What the request carries.
            request: The request.
            unix_s: Now; temporary keys end by it.
            machine_unix_s: Now, by the clock that clients share; signatures age by it.

        Raises:
            ServiceFailure: The access key is unknown and that matters, the key has ended, or the
                signature is wrong, too old or too new.
        """
        key_id = signature.access_key_id
        key = self._lasting.get(key_id) or self._temporary.get(key_id)
        if key is None:
            if self._accepts_unknown:
                return Signer(key_id, is_verified=False)
            raise _invalid_token()
        if key.session_token is not None:
            given = signature.session_token or ""
            if not hmac.compare_digest(given.encode(), key.session_token.encode()):
                raise _invalid_token()
        if key.expires_unix_s is not None and unix_s >= key.expires_unix_s:
            raise ServiceFailure(
                "ExpiredTokenException",
                "The security token included in the request is expired",
                403,
            )
        _check_age(signature, machine_unix_s)
        if not _is_right(signature, request, key):
            raise ServiceFailure(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
                403,
            )
        return Signer(key_id, is_verified=True)


def read_signature(request: ApiRequest) -> Signature | None:
    """The signature of a request, or None when it has none.

    Raises:
        ServiceFailure: There is one, and it is not complete.
    """
    header = request.headers.get("authorization", "")
    if header.startswith(ALGORITHM):
        return _in_header(header[len(ALGORITHM) :], request.headers)
    try:
        query = dict(request.query())
    except TargetError as error:
        raise _incomplete(str(error)) from error
    if query.get("X-Amz-Algorithm") == ALGORITHM:
        return _in_query(query)
    return None


def _in_header(text: str, headers: Mapping[str, str]) -> Signature:
    parts: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        parts[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires '{name}' parameter.")
    timestamp = headers.get("x-amz-date")
    if timestamp is None:
        raise _incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
    return _signature(
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        timestamp,
        None,
        headers.get("x-amz-security-token"),
    )


def _in_query(query: Mapping[str, str]) -> Signature:
    for name in ("X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", _SIGNATURE_PARAMETER):
        if not query.get(name):
            raise _incomplete(f"AWS query-string parameters must include '{name}'.")
    # WebSocket clients of AWS IoT leave the validity out.
    expires = query.get("X-Amz-Expires", str(SKEW_S))
    if not (expires.isascii() and expires.isdecimal() and int(expires[:9]) <= PRESIGNED_S_MAX):
        raise _incomplete(f"X-Amz-Expires must be at most {PRESIGNED_S_MAX}.")
    return _signature(
        query["X-Amz-Credential"],
        query["X-Amz-SignedHeaders"],
        query[_SIGNATURE_PARAMETER],
        query["X-Amz-Date"],
        int(expires[:9]),
        query.get(_TOKEN_PARAMETER),
    )


def _signature(
    credential: str,
    signed_headers: str,
    value: str,
    timestamp: str,
    expires_s: int | None,
    session_token: str | None,
) -> Signature:
    scope = credential.split("/")
    if (
        len(scope) != _SCOPE_PARTS
        or scope[-1] != "aws4_request"
        or _ACCESS_KEY.fullmatch(scope[0]) is None
    ):
        raise _incomplete(
            "Credential must have the form <access key>/<yyyymmdd>/<region>/<service>/aws4_request."
        )
    try:
        signed_unix_s = datetime.strptime(timestamp, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise _incomplete("The date must have the form yyyymmddThhmmssZ.") from error
    if scope[1] != timestamp[:8]:
        raise _incomplete("Date in Credential scope does not match the date of the request.")
    return Signature(
        access_key_id=scope[0],
        region=scope[2],
        service=scope[3],
        timestamp=timestamp,
        signed_unix_s=signed_unix_s,
        signed_headers=tuple(signed_headers.lower().split(";")),
        expires_s=expires_s,
        session_token=session_token,
        value=value,
    )


def _check_age(signature: Signature, unix_s: float) -> None:
    age_s = unix_s - signature.signed_unix_s
    lifetime_s = SKEW_S if signature.expires_s is None else signature.expires_s
    if age_s > lifetime_s:
        raise _stale("Signature expired", signature)
    if -age_s > SKEW_S:
        raise _stale("Signature not yet current", signature)


def _is_right(signature: Signature, request: ApiRequest, key: AccessKey) -> bool:
    # 0.2 s that a stand-in without access keys does not need.
    from simulator.iotcore.api.signer import expected_signature  # noqa: PLC0415 - see above

    if "host" not in signature.signed_headers or not request.target.startswith("/"):
        return False
    claimed = request.headers.get("x-amz-content-sha256")
    if claimed not in {None, _UNSIGNED_PAYLOAD, hashlib.sha256(request.body).hexdigest()}:
        return False
    if signature.expires_s is None:
        targets = [_without(request.target)]
    else:
        # A presigned query is signed without the signature. AWS IoT has WebSocket clients add the
        # session token after signing; other clients sign it.
        targets = [
            _without(request.target, _SIGNATURE_PARAMETER),
            _without(request.target, _SIGNATURE_PARAMETER, _TOKEN_PARAMETER),
        ]
    return any(
        hmac.compare_digest(
            expected_signature(signature, request, target, key).encode(), signature.value.encode()
        )
        for target in targets
    )


def _without(target: str, *names: str) -> str:
    """A target without some parameters, its query in the canonical encoding.

    Clients sign the canonical form whichever they send: some leave the `/` of a credential scope
    as it is, some write hexadecimal digits in lower case.
    """
    path, _, query = target.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    kept = [
        f"{_canonical(name)}={_canonical(value)}"
        for name, _, value in pairs
        if (name or value) and unquote(name) not in names
    ]
    return f"{path}?{'&'.join(kept)}" if kept else path


def _canonical(text: str) -> str:
    """URI-encoded as Signature Version 4 wants it: all but letters, digits and `-_.~`."""
    return quote(unquote_to_bytes(text), safe="")


def _stale(what: str, signature: Signature) -> ServiceFailure:
    return ServiceFailure("InvalidSignatureException", f"{what}: {quote(signature.timestamp)}", 403)


def _invalid_token() -> ServiceFailure:
    return ServiceFailure(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        403,
    )


def _incomplete(message: str) -> ServiceFailure:
    return ServiceFailure("IncompleteSignatureException", message, 400)
