"""What the signature of a request should be, computed with botocore's own signer.

Apart from `sigv4` because botocore is slow to import and most stand-ins know no access key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

if TYPE_CHECKING:
    from simulator.iotcore.api.exchange import ApiRequest
    from simulator.iotcore.api.sigv4 import AccessKey, Signature


def expected_signature(
    signature: Signature, request: ApiRequest, target: str, key: AccessKey
) -> str:
    """The signature, hexadecimal.

    Args:
        signature: What the request carries: who, when, for what, which headers.
        request: The request.
        target: Its path and query as they are signed.
        key: The access key.
    """
    auth = _Signer(signature, key)
    signed = {name: request.headers.get(name, "") for name in signature.signed_headers}
    if "x-amz-content-sha256" in request.headers:
        signed["x-amz-content-sha256"] = request.headers["x-amz-content-sha256"]
    # The URL is never called: only its path and query count, in the form they were sent.
    copy = AWSRequest(request.method, f"http://localhost{target}", signed, request.body)
    copy.context["timestamp"] = signature.timestamp
    text: str = auth.signature(auth.string_to_sign(copy, auth.canonical_request(copy)), copy)
    return text


class _Signer(SigV4Auth):  # type: ignore[misc]  # botocore has no type information
    """botocore's signer, told which headers are signed instead of choosing them."""

    def __init__(self, signature: Signature, key: AccessKey) -> None:
        credentials = Credentials(key.access_key_id, key.secret_access_key)
        super().__init__(credentials, signature.service, signature.region)
        self._names = signature.signed_headers

    def headers_to_sign(self, request: Any) -> Any:
        """The headers that the signature says it covers."""
        headers = HTTPHeaders()
        for name in self._names:
            headers[name] = request.headers[name]
        return headers
