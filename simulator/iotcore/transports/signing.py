"""Which principal signed an HTTP request with AWS credentials, if any did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from simulator.iotcore.api.exchange import ApiRequest
from simulator.iotcore.api.sigv4 import Keyring, read_signature
from simulator.iotcore.permissions.identity import SignedIdentity
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web


SERVICES: Final = frozenset({"iotdevicegateway", "iotdata"})
"""Names of the device gateway in signatures; the second is that of older SDKs."""


class Signatures:
    """Reads and checks signatures.

    Args:
        keyring: The access keys.
        identities: Access key id to the id of the Cognito identity it was made for. Another access
            key stands for itself.
        unix_s: The stand-in's Unix time.
    """

    def __init__(
        self, keyring: Keyring, identities: Mapping[str, str], unix_s: Callable[[], float]
    ) -> None:
        self._keyring = keyring
        self._identities = identities
        self._unix_s = unix_s

    def signer(
        self, request: web.BaseRequest, body: bytes, source_ip: str
    ) -> SignedIdentity | None:
        """Who signed a request; None when nobody did.

        Raises:
            ServiceFailure: The signature is incomplete, wrong or for another service, or the key is
                not accepted.
        """
        asked = _as_api_request(request, body, source_ip)
        signature = read_signature(asked)
        if signature is None:
            return None
        if signature.service not in SERVICES:
            raise ServiceFailure(
                "InvalidSignatureException",
                "Credential should be scoped to correct service: 'iotdevicegateway'.",
                403,
            )
        signer = self._keyring.check(signature, asked, self._unix_s(), time.time())
        key_id = signer.access_key_id
        return SignedIdentity(self._identities.get(key_id, key_id))


def is_signed(request: web.BaseRequest) -> bool:
    """Whether a request carries a signature, right or wrong."""
    try:
        return read_signature(_as_api_request(request, b"", "")) is not None
    except ServiceFailure:
        return True


def _as_api_request(request: web.BaseRequest, body: bytes, source_ip: str) -> ApiRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return ApiRequest(request.method, request.raw_path, headers, body, source_ip)
