"""The pages under `/_core/`: HTTP around the observer.

    GET  /_core/                        a page for people, which asks for the status every second
    GET  /_core/status                  everything, as JSON (`status.document`)
    GET  /_core/refusals                what quotas refused, with all clients that are remembered
    GET  /_core/metrics                 the same for Prometheus, in its text format or OpenMetrics
    POST /_core/clock                   {"travel_s": 3600} moves the clock ahead
    POST /_core/clients/<id>/drop       cuts a client's connection without a word

Owns the paths, their bounds and their refusals; who may ask is decided in `access`. The two that
change something are off unless they were switched on. Answers are kept for a moment, so that
impatient readers cost the broker nothing.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web
from prometheus_client import exposition as plain_text
from prometheus_client.openmetrics import exposition as openmetrics

from certs.errors import ConfigurationError
from simulator.iotcore.status.access import is_same_origin
from simulator.iotcore.status.exposition import registry_of
from simulator.iotcore.throttling.talkers import KEPT
from simulator.iotcore.transports.http_entry import read_body
from simulator.iotcore.transports.peers import certificate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulator.iotcore.status.access import Access
    from simulator.iotcore.status.observer import Observer

PREFIX: Final = "/_core/"
BODY_BYTES_MAX: Final = 4 * 1024
CLIENT_ID_CHARACTERS_MAX: Final = 128
_KEPT_S: Final = 0.25
_JSON: Final = "application/json"
_FILES: Final = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class _Travel(msgspec.Struct, forbid_unknown_fields=True):
    travel_s: float


class StatusPages:
    """Serves the pages.

    Args:
        observer: What is shown.
        access: Who may ask.
        now_s: The machine's time.
        travel: Moves the clock ahead by seconds; None does not allow it.
        drop: Cuts a client's connection, False when it has none; None does not allow it.
    """

    def __init__(
        self,
        observer: Observer,
        access: Access,
        now_s: Callable[[], float],
        *,
        travel: Callable[[float], None] | None = None,
        drop: Callable[[str], bool] | None = None,
    ) -> None:
        self._observer = observer
        self._access = access
        self._now_s = now_s
        self._travel = travel
        self._drop = drop
        self._metrics = registry_of(self._status, observer.choice.table)
        self._kept: dict[str, tuple[float, bytes]] = {}
        folder = files("simulator.iotcore.status") / "page"
        self._files = {
            name: ((folder / file).read_bytes(), kind) for name, (file, kind) in _FILES.items()
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to a path under `/_core/`. Total: whatever it is, it gets an answer."""
        try:
            body, kind = await self._answer(request)
            return _response(200, body, kind)
        except _Refusal as refusal:
            body = json.dumps({"error": refusal.text}).encode()
            return _response(refusal.status, body, _JSON, refusal.headers)

    async def _answer(self, request: web.BaseRequest) -> tuple[bytes, str]:
        address, certificate_id = _caller(request)
        if not self._access.is_granted(address, certificate_id):
            raise _Refusal(
                403,
                "these pages answer to this machine and to certificates named under status.readers",
            )
        path = request.path.removeprefix("/_core").removeprefix("/")
        if path in _READINGS or path in self._files:
            if request.method not in {"GET", "HEAD"}:
                raise _Refusal(405, "use GET", Allow="GET, HEAD")
            if path in self._files:
                return self._files[path]
            return _READINGS[path](self, request)
        # The id of a client may hold any character, so it is taken from the path as it was sent.
        raw = request.raw_path.partition("?")[0]
        client = raw.removeprefix(f"{PREFIX}clients/").removesuffix("/drop")
        if path == "clock":
            return await self._on_travel(request)
        if raw == f"{PREFIX}clients/{client}/drop" and client:
            return await self._on_drop(request, unquote(client))
        raise _Refusal(404, f"there is no {request.path[:100]!r}; see {PREFIX}")

    # Reading

    def _on_status(self, _request: web.BaseRequest) -> tuple[bytes, str]:
        return self._lately("status", lambda: msgspec.json.encode(self._status())), _JSON

    def _on_refusals(self, _request: web.BaseRequest) -> tuple[bytes, str]:
        def encode() -> bytes:
            status = self._status(KEPT)
            return msgspec.json.encode({"quotas": status.quotas, "causes": status.causes})

        return self._lately("refusals", encode), _JSON

    def _on_metrics(self, request: web.BaseRequest) -> tuple[bytes, str]:
        # Prometheus lists what it takes and names OpenMetrics when it does.
        is_open = "application/openmetrics-text" in request.headers.get("Accept", "")
        module: Any = openmetrics if is_open else plain_text
        kind: str = (
            openmetrics.CONTENT_TYPE_LATEST if is_open else plain_text.CONTENT_TYPE_PLAIN_0_0_4
        )
        return self._lately(kind, lambda: module.generate_latest(self._metrics)), kind

    def _status(self, clients: int | None = None) -> Any:
        now_s = self._now_s()
        if clients is None:
            return self._observer.status(now_s)
        return self._observer.status(now_s, clients=clients)

    def _lately(self, name: str, make: Callable[[], bytes]) -> bytes:
        now_s = self._now_s()
        made_s, body = self._kept.get(name, (now_s - _KEPT_S, b""))
        if now_s - made_s >= _KEPT_S:
            body = make()
            self._kept[name] = (now_s, body)
        return body

    # Changing

    async def _on_travel(self, request: web.BaseRequest) -> tuple[bytes, str]:
        if self._travel is None:
            raise _Refusal(403, "time travel is off; start the stand-in with --allow-time-travel")
        body = await _body_of_change(request)
        try:
            seconds = msgspec.json.decode(body, type=_Travel).travel_s
            self._travel(seconds)
        except (msgspec.DecodeError, ConfigurationError) as error:
            raise _Refusal(400, f'{error}; send {{"travel_s": 3600}}') from error
        self._kept.clear()
        clock = self._observer.core.clock
        answer = {"unix_s": round(clock.unix_s(), 3), "ahead_s": clock.travelled_s}
        return json.dumps(answer).encode(), _JSON

    async def _on_drop(self, request: web.BaseRequest, client_id: str) -> tuple[bytes, str]:
        if self._drop is None:
            raise _Refusal(403, "cutting connections is off; start it with --allow-drop")
        await _body_of_change(request)
        if len(client_id) > CLIENT_ID_CHARACTERS_MAX or not self._drop(client_id):
            raise _Refusal(404, "no client with this id is connected")
        return b'{"dropped": true}', _JSON


async def not_served(_request: web.BaseRequest) -> web.StreamResponse:
    """The answer under `/_core/` of a stand-in that shows nothing."""
    body = json.dumps({"error": "this stand-in was told to serve no status (--no-status)"})
    return _response(404, body.encode(), _JSON)


_READINGS: Final[dict[str, Callable[[StatusPages, web.BaseRequest], tuple[bytes, str]]]] = {
    "status": StatusPages._on_status,  # noqa: SLF001 - the table of this module's own class
    "refusals": StatusPages._on_refusals,  # noqa: SLF001 - the same
    "metrics": StatusPages._on_metrics,  # noqa: SLF001 - the same
}


def _caller(request: web.BaseRequest) -> tuple[str, str | None]:
    """Address and certificate id of who asks, as TLS says and not as headers claim."""
    transport = request.transport
    certificate = certificate_of(transport) if transport is not None else None
    return request.remote or "", certificate.certificate_id if certificate is not None else None


async def _body_of_change(request: web.BaseRequest) -> bytes:
    """The body of a request that changes something.

    Raises:
        _Refusal: It is no such request, comes from a page of another site, or is too long.
        HTTPException: As `read_body`.
    """
    if request.method != "POST":
        raise _Refusal(405, "use POST", Allow="POST")
    if not is_same_origin(request.headers.get("Origin"), request.headers.get("Host")):
        raise _Refusal(403, "this request comes from a page of another site")
    if request.content_type != _JSON:
        raise _Refusal(415, f"send Content-Type: {_JSON}")
    if (request.content_length or 0) <= BODY_BYTES_MAX:
        body = await read_body(request)
        if len(body) <= BODY_BYTES_MAX:
            return body
    raise _Refusal(413, f"a body has at most {BODY_BYTES_MAX} bytes")


def _response(
    status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=body,
        headers={**_HEADERS, **(headers or {}), "Content-Type": kind},
    )
