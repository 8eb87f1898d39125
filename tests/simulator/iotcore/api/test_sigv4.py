"""Who signed a request."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from simulator.iotcore.api.exchange import ApiRequest
from simulator.iotcore.api.sigv4 import AccessKey, Keyring, read_signature
from simulator.iotcore.services.failures import ServiceFailure

KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token+/="
KEY = AccessKey(KEY_ID, SECRET)
SIGNED_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = SIGNED_AT.timestamp()
HOST = "stand-in.example:8883"


@pytest.fixture(autouse=True)
def _signing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signer of botocore takes its own time from here; the stand-in's is an argument."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: SIGNED_AT)


def signed(
    method: str = "POST",
    path: str = "/things/car%2F1?name=a%20b&x=",
    body: bytes = b'{"a":1}',
    *,
    service: str = "iot",
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> ApiRequest:
    """A request that botocore signed in its header."""
    request = AWSRequest(method, f"https://{HOST}{path}", headers or {}, body)
    SigV4Auth(Credentials(KEY_ID, SECRET, token), service, "ap-northeast-2").add_auth(request)
    return received(request, body)


def presigned(token: str | None = None, expires_s: int = 60) -> ApiRequest:
    """A request that botocore signed in its query."""
    request = AWSRequest("GET", f"https://{HOST}/things/car-1?a=b", {}, b"")
    credentials = Credentials(KEY_ID, SECRET, token)
    SigV4QueryAuth(credentials, "iotdata", "us-east-1", expires_s).add_auth(request)
    return received(request, b"")


def received(request: Any, body: bytes) -> ApiRequest:
    """A request as it arrives."""
    url = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers = {"host": HOST, "user-agent": "any", **headers}
    target = f"{url.path}?{url.query}" if url.query else url.path
    return ApiRequest(request.method, target, headers, body)


def check(request: ApiRequest, keyring: Keyring | None = None, later_s: float = 0.0) -> Any:
    """Who signed."""
    signature = read_signature(request)
    assert signature is not None
    ring = keyring or Keyring([KEY])
    return ring.check(signature, request, NOW + later_s, NOW + later_s)


def refusal(request: ApiRequest, keyring: Keyring | None = None, later_s: float = 0.0) -> str:
    """Code of the failure."""
    with pytest.raises(ServiceFailure) as caught:
        check(request, keyring, later_s)
    assert SECRET not in str(caught.value)
    return caught.value.code


def test_the_published_example_of_aws_verifies() -> None:
    """`get-vanilla` of the AWS Signature Version 4 test suite."""
    request = ApiRequest(
        "GET",
        "/",
        {
            "host": "example.amazonaws.com",
            "x-amz-date": "20150830T123600Z",
            "authorization": (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                "SignedHeaders=host;x-amz-date, Signature="
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
            ),
        },
    )
    at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
    signature = read_signature(request)
    assert signature is not None
    assert (signature.service, signature.region) == ("service", "us-east-1")
    signer = Keyring([AccessKey(KEY_ID, SECRET)]).check(signature, request, at, at)
    assert signer.is_verified


@pytest.mark.parametrize(("written", "sent"), [("%2F", "/"), ("%2F", "%2f"), ("a=b", "%61=%62")])
def test_a_query_is_signed_in_its_canonical_form(written: str, sent: str) -> None:
    """Whatever the client sends, AWS signs its own encoding of it."""
    request = presigned()
    assert written in request.target
    assert check(dataclasses.replace(request, target=request.target.replace(written, sent)))
    in_header = signed(path="/things?b=%2Fx&a=%20")
    assert check(dataclasses.replace(in_header, target="/things?b=/x&a=%20")).is_verified
    changed = request.target.replace("%2Faws4_request", "/aws4_request").replace("a=b", "a=c")
    assert refusal(dataclasses.replace(request, target=changed)) == "InvalidSignatureException"


def test_a_request_without_a_signature_has_none() -> None:
    """Other authorization is not looked at."""
    assert read_signature(ApiRequest("GET", "/")) is None
    assert read_signature(ApiRequest("GET", "/", {"authorization": "Bearer x"})) is None


@pytest.mark.parametrize("token", [None, TOKEN])
def test_requests_of_botocore_verify(token: str | None) -> None:
    """In the header and in the query, with long-term and temporary keys."""
    ring = Keyring([AccessKey(KEY_ID, SECRET, token)])
    for request in (signed(token=token), presigned(token)):
        signer = check(request, ring)
        assert (signer.access_key_id, signer.is_verified) == (KEY_ID, True)


def test_headers_the_signature_does_not_cover_do_not_matter() -> None:
    """Proxies add headers; clients sign content types or not."""
    request = signed(headers={"content-type": "application/json", "x-amzn-principal": "arn:x"})
    more = dataclasses.replace(request, headers={**request.headers, "via": "proxy"})
    assert check(more).is_verified


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"target": "/things/car%2F2?name=a%20b&x="},
        {"target": "/things/car%2F1?name=a%20c&x="},
        {"target": "[::1"},
        {"target": "http://elsewhere/things/car%2F1?name=a%20b&x="},
        {"body": b'{"a":2}'},
    ],
)
def test_a_changed_request_does_not_verify(change: dict[str, Any]) -> None:
    """Method, path, query and body are covered."""
    request = dataclasses.replace(signed(), **change)
    assert refusal(request) == "InvalidSignatureException"


def test_changed_headers_do_not_verify() -> None:
    """Signed headers are covered; so is the hash of the body that a client claims."""
    request = signed(headers={"x-amzn-principal": "arn:x"})
    for header, value in (("x-amzn-principal", "arn:y"), ("host", "elsewhere")):
        changed = dataclasses.replace(request, headers={**request.headers, header: value})
        assert refusal(changed) == "InvalidSignatureException"
    claimed = signed(headers={"X-Amz-Content-SHA256": "00" * 32})
    assert refusal(claimed) == "InvalidSignatureException"


def test_a_wrong_secret_does_not_verify() -> None:
    """The key id is right, the secret is another."""
    assert refusal(signed(), Keyring([AccessKey(KEY_ID, "another")])) == "InvalidSignatureException"


def test_unknown_keys_are_taken_or_not() -> None:
    """By default any access key will do, as nobody has IAM here."""
    signer = check(signed(), Keyring())
    assert (signer.access_key_id, signer.is_verified) == (KEY_ID, False)
    assert refusal(signed(), Keyring(accepts_unknown=False)) == "UnrecognizedClientException"


def test_old_and_early_signatures_are_refused() -> None:
    """Fifteen minutes either way; a presigned request has a validity of its own."""
    assert check(signed(), later_s=890).is_verified
    assert refusal(signed(), later_s=910) == "InvalidSignatureException"
    assert check(signed(), later_s=-890).is_verified
    assert refusal(signed(), later_s=-910) == "InvalidSignatureException"
    assert check(presigned(expires_s=60), later_s=50).is_verified
    assert refusal(presigned(expires_s=60), later_s=70) == "InvalidSignatureException"


def test_temporary_keys_need_their_token_and_end() -> None:
    """The token of the key, until it expires by the broker's clock."""
    ring = Keyring()
    ring.add_temporary(AccessKey(KEY_ID, SECRET, TOKEN, NOW + 100))
    assert check(signed(token=TOKEN), ring).is_verified
    assert refusal(signed(), ring) == "UnrecognizedClientException"
    assert refusal(signed(token="other"), ring) == "UnrecognizedClientException"
    assert refusal(signed(token=TOKEN), ring, later_s=101) == "ExpiredTokenException"


def test_a_websocket_client_adds_its_token_after_signing() -> None:
    """AWS IoT's own way with session tokens in the query of `/mqtt`."""
    request = presigned()
    with_token = dataclasses.replace(
        request, target=f"{request.target}&X-Amz-Security-Token=token%2B%2F%3D"
    )
    assert check(with_token, Keyring([AccessKey(KEY_ID, SECRET, TOKEN)])).is_verified


def test_secrets_are_in_no_text() -> None:
    """What might be logged shows the access key id at most."""
    request = signed(token=TOKEN)
    shown = f"{AccessKey(KEY_ID, SECRET, TOKEN)!r} {read_signature(request)!r}"
    assert SECRET not in shown
    assert TOKEN not in shown
    assert KEY_ID in shown


CREDENTIAL = f"{KEY_ID}/20260101/us-east-1/iot/aws4_request"
ANOTHER_DAY = f"{KEY_ID}/20260102/us-east-1/iot/aws4_request"


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, SignedHeaders=host",
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL}, Signature=ab",
        "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host, Signature=ab",
        f"AWS4-HMAC-SHA256 Credential={CREDENTIAL.replace('A', '-')}, SignedHeaders=a, Signature=b",
        f"AWS4-HMAC-SHA256 Credential={ANOTHER_DAY}, SignedHeaders=host, Signature=ab",
    ],
)
def test_an_incomplete_signature_is_refused(header: str) -> None:
    """Every part is needed, and the dates must agree."""
    headers = {"authorization": header, "x-amz-date": "20260101T000000Z"}
    with pytest.raises(ServiceFailure) as caught:
        read_signature(ApiRequest("GET", "/", headers))
    assert (caught.value.code, caught.value.http_status) == ("IncompleteSignatureException", 400)


@pytest.mark.parametrize(
    "change",
    [
        {"X-Amz-Date": ""},
        {"X-Amz-Date": "yesterday"},
        {"X-Amz-Expires": "604801"},
        {"X-Amz-Expires": "-1"},
        {"X-Amz-Signature": ""},
        {"X-Amz-Credential": "a/b"},
    ],
)
def test_an_incomplete_presigned_request_is_refused(change: dict[str, str]) -> None:
    """Every parameter is needed and bounded."""
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": CREDENTIAL,
        "X-Amz-Date": "20260101T000000Z",
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "ab",
        **change,
    }
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    with pytest.raises(ServiceFailure) as caught:
        read_signature(ApiRequest("GET", f"/?{query}"))
    assert caught.value.code == "IncompleteSignatureException"


@given(
    header=st.text(alphabet="AWS4-HMC256 Credntial=Sghu,/", max_size=80),
    query=st.text(alphabet="X-Amzlgorith=&%ACDS", max_size=80),
    date=st.text(max_size=20),
)
def test_any_signature_is_read_or_refused(header: str, query: str, date: str) -> None:
    """Nothing but ServiceFailure is raised."""
    headers = {"authorization": f"AWS4-HMAC-SHA256 {header}", "x-amz-date": date}
    for request in (ApiRequest("GET", f"/?{query}", headers), ApiRequest("GET", f"/?{query}")):
        with suppress(ServiceFailure):
            read_signature(request)
