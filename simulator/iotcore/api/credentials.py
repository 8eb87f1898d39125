"""The credentials provider: temporary AWS credentials for a device with a certificate.

Owns `GET /role-aliases/<alias>/credentials` (AWS IoT Core developer guide, "Authorizing direct
calls to AWS services using AWS IoT Core credential provider"). The keys it makes are known to the
keyring, so that what is signed with them is checked. No role is assumed, because IAM is not
emulated. Error texts are choices of this stand-in; AWS documents the status only.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.api.answering import JSON, write_failure
from simulator.iotcore.api.device_access import ASSUME_ROLE, Need, check, forbidden
from simulator.iotcore.api.exchange import ApiResponse
from simulator.iotcore.api.sigv4 import AccessKey
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.api.exchange import ApiRequest
    from simulator.iotcore.api.sigv4 import Keyring
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry

THING_HEADER: Final = "x-amzn-iot-thingname"
LABEL: Final = "credentials.AssumeRoleWithCertificate"
DURATION_S: Final = 3_600
"""Validity when the role alias does not say."""

_PATH: Final = re.compile(r"/role-aliases/([\w=,@-]{1,128})/credentials", re.ASCII)


class CredentialsProvider:
    """Makes temporary credentials.

    Args:
        registry: Certificates, policies and things.
        account: For ARNs.
        role_alias: Gives `roleAliasDescription` of a role alias, or None.
        keyring: Where the keys are made known.
        new_bytes: Makes that many random bytes.
    """

    def __init__(
        self,
        registry: Registry,
        account: Account,
        role_alias: Callable[[str, float], dict[str, Any] | None],
        keyring: Keyring,
        new_bytes: Callable[[int], bytes],
    ) -> None:
        self._registry = registry
        self._account = account
        self._role_alias = role_alias
        self._keyring = keyring
        self._new_bytes = new_bytes

    @staticmethod
    def claims(request: ApiRequest) -> bool:
        """Whether a request is for the credentials provider."""
        return request.method == "GET" and _PATH.fullmatch(request.path) is not None

    def serve(self, request: ApiRequest, now_s: float, unix_s: float) -> ApiResponse:
        """Answer a request that is for the credentials provider.

        Args:
            request: The request.
            now_s: The time now.
            unix_s: The same in Unix time.
        """
        try:
            document = self._credentials(request, now_s, unix_s)
        except ServiceFailure as failure:
            return write_failure(failure, failure.http_status, LABEL)
        return ApiResponse(200, {"content-type": JSON}, msgspec.json.encode(document), LABEL)

    def _credentials(self, request: ApiRequest, now_s: float, unix_s: float) -> dict[str, Any]:
        found = _PATH.fullmatch(request.path)
        certificate = request.certificate
        if found is None or certificate is None:
            raise forbidden()
        alias = found[1]
        needs = [Need(ASSUME_ROLE, f"rolealias/{alias}", {})]
        check(self._registry, self._account, certificate, request.source_ip, needs)
        thing = request.headers.get(THING_HEADER)
        if thing is not None:
            registered = self._registry.certificate(certificate.certificate_id)
            if registered is None or thing not in registered.things:
                raise ServiceFailure("ForbiddenException", "Invalid thing name passed", 403)
        description = self._role_alias(alias, now_s)
        if description is None:
            raise ServiceFailure("ResourceNotFoundException", "Role alias does not exist", 404)
        expires_unix_s = unix_s + int(description.get("credentialDurationSeconds") or DURATION_S)
        key = AccessKey(
            access_key_id="ASIA" + base64.b32encode(self._new_bytes(10)).decode(),
            secret_access_key=base64.b64encode(self._new_bytes(30)).decode(),
            session_token=base64.b64encode(self._new_bytes(96)).decode(),
            expires_unix_s=expires_unix_s,
        )
        self._keyring.add_temporary(key)
        expiration = datetime.fromtimestamp(expires_unix_s, UTC).replace(microsecond=0)
        return {
            "credentials": {
                "accessKeyId": key.access_key_id,
                "secretAccessKey": key.secret_access_key,
                "sessionToken": key.session_token,
                "expiration": expiration.isoformat().replace("+00:00", "Z"),
            }
        }
