"""The IoT Core stand-in's side of a run: the child process that serves, and its control protocol.

Owns the messages between the two processes and what the child does with them. The parent's side is
`simulator.load.target.stand_in`. Messages are MessagePack on a pipe between two processes of one
program, so they are trusted; each request carries a number that its answer repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import structlog

from certs.disk import PRIVATE_FILE
from certs.errors import EdgeError
from simulator import fleet_policies
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.joints import DocumentedTopics
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.process import prepare_for_many_connections
from simulator.iotcore.registry import Registry
from simulator.iotcore.registry_files import account_of, register
from simulator.iotcore.server import CoreServer
from simulator.iotcore.throttling.choosing import OFF
from simulator.iotcore.tls import ServerTls
from simulator.load.child_process import read_in_thread, run_child
from simulator.load.records import TargetQuotas
from simulator.load.target import quota_books
from simulator.load.target.machine import resident_bytes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from simulator.iotcore.throttling.choosing import Choice

LOOPBACK: Final = "127.0.0.1"
Role: TypeAlias = Literal["vehicle", "application", "probe"]

_CAUSES: Final = frozenset(cause.value for cause in Cause)
_COMMAND_LEVELS: Final = 8


class Setup(msgspec.Struct, frozen=True):
    """What the stand-in is started with.

    Attributes:
        certificate_pem: Its server certificate.
        key_pem: The key of that.
        trusted_pem: CAs, or single client certificates, that may connect.
        fleet: The fleet level of the topics, for the policies.
        policies: `vehicle` (each car its own topics) or `open` (everything).
        quotas: Name of a quota table, path of a quota file, or `off`.
        quota_mode: Whether quotas are enforced or only observed.
    """

    certificate_pem: bytes
    key_pem: bytes
    trusted_pem: list[bytes]
    fleet: str
    policies: Literal["vehicle", "open"]
    quotas: str = OFF
    quota_mode: Literal["enforce", "observe"] = "observe"

    def __repr__(self) -> str:
        quotas = f"quotas={self.quotas!r}, quota_mode={self.quota_mode!r}"
        return f"Setup(fleet={self.fleet!r}, policies={self.policies!r}, {quotas})"


# From the parent


class Register(msgspec.Struct, frozen=True, tag=True):
    """Register certificates: pairs of certificate id and thing name."""

    number: int
    role: Role
    entries: list[tuple[str, str]]


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Do something that needs no arguments. `stop` also ends the process.

    Attributes:
        number: Of the request.
        what: What to do.
        clients: How many clients the answer names for each quota that refused something.
    """

    number: int
    what: Literal["status", "drop-all", "stop-listening", "start-listening", "stop"]
    clients: int = quota_books.CLIENTS_SHOWN


Request: TypeAlias = Register | Ask

# From the child


class Listening(msgspec.Struct, frozen=True, tag=True):
    """It accepts connections."""

    port: int
    pid: int


class NotStarted(msgspec.Struct, frozen=True, tag=True):
    """It could not start."""

    what: str
    remedy: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A request could not be fulfilled."""

    number: int
    what: str
    remedy: str


class Status(msgspec.Struct, frozen=True, tag=True):
    """Answer to every request: what the stand-in has done so far.

    Attributes:
        number: That of the request.
        affected: How many certificates were registered or connections dropped by it.
        counters: Running totals; `connections` is how many are open now.
        refusals: Running totals of what it refused or dropped, by cause.
        quotas: What its quotas refused, or would have.
        cpu_s: CPU time of its process so far, user and system.
        resident_bytes: Memory of its process now; 0 where the system does not say.
    """

    number: int
    affected: int
    counters: dict[str, int]
    refusals: dict[str, int]
    quotas: TargetQuotas
    cpu_s: float
    resident_bytes: int


Answer: TypeAlias = Listening | NotStarted | Failed | Status

ENCODER: Final = msgspec.msgpack.Encoder()
ANSWERS: Final = msgspec.msgpack.Decoder(Answer)
_REQUESTS: Final = msgspec.msgpack.Decoder(Request)


class CommandsByApplications(DocumentedTopics):
    """The documented reserved topics, where an application may play AWS IoT Commands.

    At AWS the service publishes requests and takes the answers. Here both topics exist for clients
    too, and the policies say which: `fleet_policies` allows them to applications only.
    """

    __slots__ = ()

    def may_publish(self, topic: str, /) -> bool:
        """Whether the topic is documented for publishing, or a command request."""
        return super().may_publish(topic) or _is_command(topic, "request")

    def may_subscribe(self, topic_filter: str, /) -> bool:
        """Whether the filter is documented for subscribing, or one of command answers."""
        return super().may_subscribe(topic_filter) or _is_command(topic_filter, "response")


def _is_command(topic: str, kind: str) -> bool:
    levels = topic.split("/")
    return (
        len(levels) == _COMMAND_LEVELS
        and levels[:3] == ["$aws", "commands", "things"]
        and levels[4] == "executions"
        and levels[6:] == [kind, "json"]
    )


def serve(pipe: Connection, setup: Setup) -> None:
    """Main function of the child process."""
    # Standard output belongs to the parent's results.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    prepare_for_many_connections()
    run_child(_serve(pipe, setup))


async def _serve(pipe: Connection, setup: Setup) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            # The files are needed only until the TLS context has read them.
            with tempfile.TemporaryDirectory(prefix="morai-sim-") as folder:
                choice = quota_books.in_force(setup.quotas, setup.quota_mode)
                server = _server(setup, choice, Path(folder))
                await stack.enter_async_context(server)
        except EdgeError as error:
            pipe.send_bytes(ENCODER.encode(NotStarted(error.what, error.remedy)))
            return
        books = quota_books.QuotaBooks(setup.quotas, setup.quota_mode, choice)
        control = _Control(server, books, is_open=setup.policies == "open", pipe=pipe)
        pipe.send_bytes(ENCODER.encode(Listening(server.port, os.getpid())))
        await control.run()


class _Control:
    """Does what the parent asks, one request after the other."""

    def __init__(
        self, server: CoreServer, books: quota_books.QuotaBooks, *, is_open: bool, pipe: Connection
    ) -> None:
        self._server = server
        self._books = books
        self._is_open = is_open
        self._pipe = pipe
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def run(self) -> None:
        """Serve until told to stop, or until the parent is gone."""

        def end() -> None:
            self._requests.put_nowait(None)

        read_in_thread(self._pipe, self._requests.put_nowait, end, dies_with_peer=True)
        while (wire := await self._requests.get()) is not None:
            request = _REQUESTS.decode(wire)
            answer = await self._answer(request)
            with contextlib.suppress(OSError):  # the parent is gone, which the queue says next
                self._pipe.send_bytes(ENCODER.encode(answer))
            if isinstance(request, Ask) and request.what == "stop":
                return

    async def _answer(self, request: Request) -> Answer:
        try:
            affected = await self._fulfil(request)
        except EdgeError as error:
            return Failed(request.number, error.what, error.remedy)
        totals = self._server.counters()
        causes = {name: total for name, total in totals.items() if name in _CAUSES}
        clients = request.clients if isinstance(request, Ask) else 0
        return Status(
            number=request.number,
            affected=affected,
            counters={name: total for name, total in totals.items() if name not in _CAUSES},
            refusals=self._books.really_refused(causes),
            quotas=self._books.told(self._server.quota_report(), clients),
            cpu_s=time.process_time(),
            resident_bytes=resident_bytes(),
        )

    async def _fulfil(self, request: Request) -> int:
        if isinstance(request, Register):
            policy = fleet_policies.OPEN if self._is_open else request.role
            for certificate_id, thing in request.entries:
                register(self._server.registry, certificate_id, [thing], [policy])
            return len(request.entries)
        if request.what == "drop-all":
            return self._server.drop_all()
        if request.what == "stop-listening":
            await self._server.stop_listening()
        elif request.what == "start-listening":
            # Listening twice would leave the first listener without an owner.
            await self._server.stop_listening()
            await self._server.start_listening()
        return 0


def _server(setup: Setup, choice: Choice, folder: Path) -> CoreServer:
    registry = Registry()
    documents = {
        fleet_policies.VEHICLE: fleet_policies.vehicle(setup.fleet),
        fleet_policies.APPLICATION: fleet_policies.application(setup.fleet),
        fleet_policies.PROBE: fleet_policies.probe(setup.fleet),
        fleet_policies.OPEN: fleet_policies.everything(),
    }
    parsed = [Policy.parse(name, document) for name, document in documents.items()]
    for policy in parsed:
        registry.put_policy(policy)
    return CoreServer(
        registry,
        _tls_files(setup, folder),
        LOOPBACK,
        0,
        account=account_of(parsed),
        limits=choice.limits,
        quotas=choice.quotas,
        reserved=CommandsByApplications(),
    )


def _tls_files(setup: Setup, folder: Path) -> ServerTls:
    certificate, key, trusted = (folder / name for name in ("cert.pem", "key.pem", "trusted.pem"))
    certificate.write_bytes(setup.certificate_pem)
    key.touch(mode=PRIVATE_FILE)
    key.write_bytes(setup.key_pem)
    trusted.write_bytes(b"".join(setup.trusted_pem))
    return ServerTls(certificate, key, [trusted])
