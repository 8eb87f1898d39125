"""The AWS API behind aiohttp: requests off the wire, answers onto it.

The thin shell around `service`: bounds of a body, the wait for a client's confirmation, the clocks,
logs. Whatever a request is, the connection gets one answer; a defect costs one answer of 500.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from simulator.iotcore.api.answering import write_failure
from simulator.iotcore.api.counts import ApiCounters
from simulator.iotcore.api.exchange import ApiRequest, ApiResponse
from simulator.iotcore.api.model import Models
from simulator.iotcore.api.service import ApiService, Pending
from simulator.iotcore.api.sigv4 import Keyring
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.transports.peers import certificate_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.iotcore.api.operations import ReadObject
    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.clock import Clock
    from simulator.iotcore.cloud import Cloud

log = structlog.get_logger(__name__)

BODY_BYTES_MAX: Final = 1024 * 1024
"""Beyond, 413. No request that is served may have half of that by its service model. It is also
where aiohttp stops reading."""

BODY_TIMEOUT_S: Final = 20.0
"""For a body to arrive; then 408."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Core(Protocol):
    """What the gateway asks of the stand-in: `CoreServer` has it."""

    @property
    def broker(self) -> Broker:
        """The broker that runs now."""
        ...

    @property
    def cloud(self) -> Cloud | None:
        """The account."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    def wake(self) -> None:
        """Have the broker's outputs written."""
        ...


class Gateway:
    """Takes API requests.

    Args:
        core: The stand-in.
        keyring: Access keys that are known; by default none is, and any is taken.
        limits: Sizes of a message.
        read_object: Gives the bytes of an object of a bucket, or None; without it streams cannot
            be created.
        identities: Access key id to the Cognito identity it was made for; IoT policies attached to
            an identity decide what it may ask of `iot-data`.

    Attributes:
        counters: Totals.
        keyring: Access keys that are known.
    """

    def __init__(
        self,
        core: Core,
        *,
        keyring: Keyring | None = None,
        limits: Limits | None = None,
        read_object: ReadObject | None = None,
        identities: Mapping[str, str] | None = None,
    ) -> None:
        self._core = core
        self._limits = limits or Limits()
        self._read_object = read_object or (lambda _bucket, _key: None)
        self._identities = identities or {}
        self._models: Models | None = None
        self._service: ApiService | None = None
        self._serves: Broker | None = None
        self.counters = ApiCounters()
        self.keyring = keyring or Keyring()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. Never raises because of what it is."""
        try:
            response = await self._answer(request)
        except Exception:
            # A defect of ours must cost one answer, not the connection or the process.
            log.exception("api.defect", method=request.method)
            failure = ServiceFailure("InternalFailureException", "An internal error occurred", 500)
            response = write_failure(failure, 500)
            self.counters.count(response)
        headers = {**response.headers, "x-amzn-requestid": str(uuid.uuid4())}
        return web.Response(status=response.status, body=response.body, headers=headers)

    async def _answer(self, request: web.BaseRequest) -> ApiResponse:
        try:
            body = await _read_body(request)
        except ServiceFailure as failure:
            response = write_failure(failure, failure.http_status)
            self.counters.count(response)
            return response
        if self._models is None:
            # About 50 ms of reading JSON, once, beside the event loop.
            self._models = await asyncio.to_thread(Models)
        core = self._core
        clock = core.clock
        service = self._current(self._models)
        api_request = ApiRequest(
            request.method,
            request.raw_path,
            _joined(request),
            body,
            request.remote or "",
            certificate_of(request.transport) if request.transport is not None else None,
        )
        machine_unix_s = clock.unix_s() - clock.travelled_s
        outcome = service.serve(api_request, clock.now_s(), machine_unix_s)
        core.wake()
        if isinstance(outcome, Pending):
            return service.settle(await _wait(outcome))
        return outcome

    def _current(self, models: Models) -> ApiService:
        """The service on the broker that runs now; a stand-in makes a new one at every start."""
        core = self._core
        cloud = core.cloud
        if cloud is None:
            raise RuntimeError("the API needs a cloud")
        if self._service is None or self._serves is not core.broker:
            self._serves = core.broker
            self._service = ApiService(
                models,
                cloud,
                core.broker,
                self.keyring,
                self._limits,
                self.counters,
                unix_s_at_zero=core.clock.unix_s_at_zero,
                new_id=lambda: str(uuid.uuid4()),
                new_bytes=secrets.token_bytes,
                read_object=self._read_object,
                identities=self._identities,
            )
        return self._service


async def _wait(pending: Pending) -> ApiResponse:
    """Wait for a client's confirmation, in the machine's time."""
    confirmed = asyncio.Event()
    pending.confirmation.then(confirmed.set)
    try:
        async with asyncio.timeout(pending.confirmation.timeout_s):
            await confirmed.wait()
    except TimeoutError:
        return pending.missed()
    return pending.confirmed()


async def _read_body(request: web.BaseRequest) -> bytes:
    """The body, at most 1 MB of it.

    Raises:
        ServiceFailure: It is longer, or slow.
    """
    if request.headers.get("Expect", "").lower() == "100-continue" and not request.content.is_eof():
        await request.writer.write(_CONTINUE)
        # What was written is no part of the answer.
        request.writer.output_size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except TimeoutError:
        raise ServiceFailure("RequestTimeoutException", "the body did not arrive", 408) from None
    except (web.RequestPayloadError, HttpProcessingError, OSError) as error:
        raise ServiceFailure("InvalidRequestException", "the body cannot be read") from error
    if len(body) > BODY_BYTES_MAX:
        raise _too_large()
    return body


def _too_large() -> ServiceFailure:
    return ServiceFailure(
        "RequestEntityTooLargeException", f"a body has at most {BODY_BYTES_MAX} bytes", 413
    )


def _joined(request: web.BaseRequest) -> dict[str, str]:
    """Headers by lower-case name; several of one name joined, as a signature covers them."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined
