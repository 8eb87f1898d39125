"""A cloud application as a user would write it: it hears one car and commands it.

Owns the aiomqtt connection, the books on every telemetry stream, and the waiting for command
answers. Knows the public contract (topics and documents) and nothing of the agent behind it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import aiomqtt

from agent.cloud.topics import CommandProtocol
from certs.errors import LinkError
from simulator.demo.streambook import StreamBook

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType

    from agent.cloud.topics import TopicSpace

FINAL_STATUSES = frozenset({"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the car answered to one command.

    Attributes:
        execution_id: Identity of the execution.
        status: The final status, or `NO_ANSWER`.
        reason: Reason code of the final status; empty when it carries none.
        statuses: Every status received, in order.
        first_answer_s: From sending to the first answer, seconds; `None` without one.
        finished_s: From sending to the final status, seconds; `None` without one.
    """

    execution_id: str
    status: str
    reason: str = ""
    statuses: tuple[str, ...] = ()
    first_answer_s: float | None = None
    finished_s: float | None = None


@dataclass(slots=True)
class _Pending:
    sent_mono_s: float
    statuses: list[str] = field(default_factory=list)
    first_answer_s: float | None = None
    final: asyncio.Future[tuple[str, str, float]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Application:
    """An application that watches and commands one car.

    Attributes:
        book: The books on every telemetry stream.
        health: The newest health document; empty before the first.
        undecodable: Messages that were no health document, no answer, or on an unknown topic.
        round_trips_s: From each command to its first answer, seconds.

    Args:
        host: Broker address; the broker's certificate must carry it.
        port: Broker port.
        tls: Context with the application's own certificate and the broker's root.
        topics: Topics of the car.
        client_id: MQTT client id of the application.
        timeout_s: How long the broker may take for an answer.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext,
        topics: TopicSpace,
        client_id: str,
        *,
        timeout_s: float = 10,
    ) -> None:
        self.book = StreamBook()
        self.health: dict[str, Any] = {}
        self.undecodable = 0
        self.round_trips_s: list[float] = []
        self._topics = topics
        self._client = aiomqtt.Client(
            hostname=host,
            port=port,
            tls_context=tls,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            timeout=timeout_s,
            # Without it Nagle's algorithm holds a command back until the broker has acknowledged
            # the last PUBACK, which the broker's TCP delays by 40 ms.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._reader: asyncio.Task[None] | None = None
        self._pending: dict[str, _Pending] = {}
        self._changed = asyncio.Event()
        self._stack = AsyncExitStack()
        self._sequence = 0
        self._executions = 0

    async def __aenter__(self) -> Self:
        try:
            await self._stack.enter_async_context(self._client)
            await self._client.subscribe(self._topics.telemetry("health"), qos=1)
            await self._client.subscribe(f"{self._telemetry_root()}/#", qos=1)
            await self._client.subscribe(self._topics.response_filter(CommandProtocol.PLAIN), qos=1)
        except aiomqtt.MqttError as error:
            await self._stack.aclose()
            raise LinkError(f"the application cannot use the broker: {error}") from error
        self._reader = asyncio.create_task(self._read(), name="application:read")
        self._reader.add_done_callback(self._ended)
        self._stack.push_async_callback(_cancelled, self._reader)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds; whether it does in the end.

        Looked at again with every message that arrives, and once more when the time is over.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return condition()
        return True

    async def command(
        self,
        name: str,
        parameters: dict[str, Any] | None = None,
        *,
        timeout_s: float = 15,
        execution_id: str | None = None,
    ) -> Answer:
        """Send one discrete command and wait for its final status.

        Args:
            name: Command name, for example `drive`.
            parameters: Its parameters.
            timeout_s: How long to wait, and how long the command may still start.
            execution_id: Identity of the execution; a fresh one by default.

        Raises:
            LinkError: The broker did not take the command, or went away.
        """
        self._executions += 1
        identity = execution_id or f"demo-{self._executions:04d}"
        document = {
            "command": name,
            "parameters": parameters or {},
            "issued_at": time.time(),
            "timeout_s": timeout_s,
        }
        return await self.request(identity, json.dumps(document).encode(), timeout_s)

    async def request(self, execution_id: str, payload: bytes, timeout_s: float) -> Answer:
        """Send any bytes as a command and wait for its final status.

        Raises:
            LinkError: The broker did not take them, or went away.
        """
        pending = _Pending(time.monotonic())
        self._pending[execution_id] = pending
        try:
            await self._publish(
                self._topics.request(CommandProtocol.PLAIN, execution_id), payload, qos=1
            )
            async with asyncio.timeout(timeout_s):
                status, reason, finished_s = await pending.final
        except TimeoutError:
            return Answer(
                execution_id, "NO_ANSWER", "", tuple(pending.statuses), pending.first_answer_s
            )
        finally:
            del self._pending[execution_id]
        return Answer(
            execution_id,
            status,
            reason,
            tuple(pending.statuses),
            pending.first_answer_s,
            finished_s,
        )

    async def set_point(self, **values: float) -> None:
        """Publish one set point of the drive stream, for example `speed_mps=8, steer_rad=0`.

        Raises:
            LinkError: The connection to the broker is gone.
        """
        self._sequence += 1
        document = {"seq": self._sequence, "t": time.time(), **values}
        await self._publish(self._topics.drive, json.dumps(document).encode(), qos=0)

    async def _publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        publishing = asyncio.ensure_future(self._client.publish(topic, payload, qos=qos))
        # The client would wait for its time-out on a connection that is gone; the reader knows.
        waited = {publishing} if self._reader is None else {publishing, self._reader}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise _lost()
            publishing.result()
        except aiomqtt.MqttError as error:
            raise LinkError(f"the application cannot publish on {topic}: {error}") from error
        finally:
            if not publishing.done():
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)

    def _ended(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled():
            for pending in self._pending.values():
                if not pending.final.done():
                    pending.final.set_exception(_lost())

    def _telemetry_root(self) -> str:
        return self._topics.telemetry("state").rpartition("/")[0]

    async def _read(self) -> None:
        root = self._telemetry_root() + "/"
        answers = self._topics.response_filter(CommandProtocol.PLAIN).removesuffix("+")
        async for message in self._client.messages:
            arrived_s = time.time()
            topic = str(message.topic)
            payload = message.payload
            if topic == root + "health":
                self._take_health(payload)
            elif topic.rpartition("/")[0] + "/" == root:
                self.book.add(topic, payload, arrived_s)
            elif topic.startswith(answers):
                self._take_answer(topic, payload)
            else:
                self.undecodable += 1
            self._changed.set()

    def _take_health(self, payload: bytes) -> None:
        document = _json_object(payload)
        if document is None:
            self.undecodable += 1
        else:
            self.health = document

    def _take_answer(self, topic: str, payload: bytes) -> None:
        pending = self._pending.get(topic.rpartition("/")[2])
        document = _json_object(payload)
        status = document.get("status") if document is not None else None
        if document is None or not isinstance(status, str):
            self.undecodable += 1
            return
        said = document.get("statusReason")
        reason = str(said.get("reasonCode", "")) if isinstance(said, dict) else ""
        if pending is None:
            return
        elapsed_s = time.monotonic() - pending.sent_mono_s
        if pending.first_answer_s is None:
            pending.first_answer_s = elapsed_s
            self.round_trips_s.append(elapsed_s)
        pending.statuses.append(status)
        if status in FINAL_STATUSES and not pending.final.done():
            pending.final.set_result((status, reason, elapsed_s))


def _json_object(payload: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _lost() -> LinkError:
    return LinkError("the application's connection to the broker is gone")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
