"""The running agent: sockets, clocks and timers around the pure rooms.

Owns the event loop's side of the bridge. Its rhythm is the same everywhere: something arrives or a
timer fires, the pure rooms are asked, their effects are carried out, and one timer is set to the
earliest deadline. It decides nothing about content.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, assert_never

import structlog

from agent.bridge.assembly import (
    dialect,
    map_frame,
    service_settings,
    session_options,
    subscriptions,
    topic_space,
)
from agent.bridge.uplink import Uplink
from agent.bridge.vitals import Vitals, gather
from agent.clock import clock_is_synchronised
from agent.cloud.publish_window import Message
from agent.cloud.session import CloudSession
from agent.cloud.session_values import Incoming, LinkState
from agent.cloud.topics import TopicKind
from agent.commands.ledger import Ledger
from agent.commands.protocol import ResponseError, decode_outcome
from agent.commands.service import CommandService, Respond, Send
from agent.morai import encode
from agent.telemetry.health import encode_health, last_will
from agent.telemetry.payload import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.commands.service import Effect
    from agent.configuration import AgentConfiguration
    from agent.links import Datagram, SimulatorLink
    from agent.telemetry.health import HealthState
    from agent.telemetry.payload import ClockQuality

log = structlog.get_logger(__name__)

# How long the last acknowledgements may take.
CLOSING_S: Final = 5.0
# The simulator may have gone, so the closing stop is not waited for longer than this.
_CLOSING_STOP_S: Final = 3.0
_DROPS_LOGGED_EVERY_S: Final = 10.0
_DEFECTS_LOGGED_EVERY_S: Final = 10.0
# A defect that repeats with every look at the clock must not eat the processor.
_AFTER_DEFECT_S: Final = 0.05
# asyncio may fire a timer early by the resolution of its clock (15.6 ms on Windows before Python
# 3.13); armed this much later, nothing is found to be not yet due.
_CLOCK_RESOLUTION_S: Final = time.get_clock_info("monotonic").resolution
_QUALITY: Final[dict[bool | None, ClockQuality]] = {
    True: "synchronised",
    False: "unsynchronised",
    None: "unknown",
}


def agent_version() -> str:
    """The installed version, or `unknown` when the package runs uninstalled."""
    try:
        return version("morai-edge")
    except PackageNotFoundError:
        return "unknown"


class Bridge:
    """One agent between one simulator and one broker.

    Args:
        configuration: Everything it needs to know.
        link: Where the simulator is.
        boot_id: Identity of this run; must differ between runs.
    """

    def __init__(
        self, configuration: AgentConfiguration, link: SimulatorLink, boot_id: str
    ) -> None:
        clock = Clock("receive", _QUALITY[clock_is_synchronised()])
        self._configuration = configuration
        self._link = link
        self._topics = topic_space(configuration)
        self._dialect = dialect(configuration.dialect)
        self._silent_after_s = configuration.simulator.silent_after_s
        self.uplink = Uplink(
            self._topics,
            boot_id,
            configuration.streams.by_name(),
            dialect=self._dialect,
            frame=map_frame(configuration.map),
            clock=clock,
        )
        self._vitals = Vitals(
            configuration.vehicle.thing, boot_id, agent_version(), clock, time.monotonic()
        )
        self._health_topic = self._topics.telemetry("health")
        will = encode_health(last_will(configuration.vehicle.thing, boot_id, agent_version()))
        self.session = CloudSession(
            session_options(configuration, Message(self._health_topic, will, qos=1, retain=True)),
            subscriptions(configuration, self._topics),
            self._on_message,
            self._on_link_state,
            self._on_ready,
        )
        self._ledger: Ledger | None = None
        self._commands: CommandService | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._health_due_s = 0.0
        self._drops_due_s = 0.0
        self._logged_drops: dict[str, int] = {}
        self._simulator_heard = False
        self._is_online = False
        self._is_leaving = False
        self._delayed_sends = 0
        self._car_left_alone = asyncio.Event()
        self._defects = 0
        self._defects_due_s = 0.0
        self._not_before_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then bring the car to a stop and sign off.

        Cancelled, or ended by an error, it sends the stops at once and does not wait.

        Raises:
            ConfigurationError: A certificate or key cannot be used.
            LinkError: A port is not available.
            StorageError: The command ledger cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        try:
            if self._configuration.commands.enabled:
                self._commands = self._open_commands()
            await self._link.open(self._on_datagram)
            self.session.start()
            log.info(
                "agent_started",
                boot=self._vitals.boot_id,
                broker=f"{self._configuration.broker.endpoint}:{self._configuration.broker.port}",
                ports=dict(self._link.ports),
            )
            self._pump()
            await stop.wait()
            await self._sign_off()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.stop_the_car_at_once()
            await self.session.stop()
            await self._link.close()
            if self._ledger is not None:
                self._ledger.close()

    def _open_commands(self) -> CommandService:
        ledger = self._ledger = Ledger(self._configuration.commands.ledger)
        if ledger.warning is not None:
            log.warning("ledger_replaced", reason=ledger.warning)
        for key in ledger.interrupted:
            log.warning("command_interrupted", execution=key.execution_id)
        return CommandService(ledger, self._dialect, service_settings(self._configuration))

    # -- what arrives -----------------------------------------------------------------------

    def _on_datagram(self, datagram: Datagram) -> bool:
        usable = self.uplink.counters.usable
        with self._containing_defects("datagram"):
            self._take(datagram)
        self._arm()
        return self.uplink.counters.usable > usable

    def _take(self, datagram: Datagram) -> None:
        self._vitals.heard_mono_s[datagram.channel] = datagram.received_mono_s
        before = self.uplink.ego_mono_s
        self._publish(
            self.uplink.on_datagram(datagram.data, datagram.received_s, datagram.received_mono_s)
        )
        if self.uplink.ego_mono_s != before and self.uplink.ego is not None:
            if not self._simulator_heard:
                self._simulator_heard = True
                log.info("simulator_heard", channel=datagram.channel, source=datagram.source[0])
            if self._commands is not None:
                self._carry_out(self._commands.on_ego(self.uplink.ego, datagram.received_mono_s))

    def _on_message(self, incoming: Incoming) -> None:
        with self._containing_defects("message"):
            self._hear(incoming)
        self._pump()

    def _hear(self, incoming: Incoming) -> None:
        if self._commands is None:
            return
        parsed = self._topics.parse(incoming.topic)
        mono_s = time.monotonic()
        match parsed.kind:
            case TopicKind.DRIVE:
                self._carry_out(self._commands.on_set_point(incoming.payload, mono_s))
            case TopicKind.REQUEST if parsed.execution_id and parsed.protocol:
                log.debug("command_received", execution=parsed.execution_id)
                self._carry_out(
                    self._commands.on_request(
                        parsed.execution_id,
                        incoming.payload,
                        message_expiry_s=incoming.message_expiry_s,
                        now_s=time.time(),
                        mono_s=mono_s,
                        protocol=parsed.protocol,
                    )
                )
            case TopicKind.RESPONSE_ACCEPTED:
                # AWS IoT tells that it took an answer. Nothing follows from it.
                pass
            case TopicKind.RESPONSE_REJECTED:
                self.session.counters.drop("answer_rejected")
                log.warning("answer_rejected", execution=parsed.execution_id)
            case _:
                self.session.counters.drop(f"topic_{parsed.kind.value}")

    def _on_link_state(self, state: LinkState, reason: str) -> None:
        match state:
            case LinkState.CONNECTED:
                log.info("broker_connected", session=reason)
            case LinkState.DISCONNECTED if not self._is_leaving:
                log.warning("broker_disconnected", reason=reason)
            case _:
                log.debug("broker_link", state=state.value)
        mono_s = time.monotonic()
        with self._containing_defects("link"):
            if self._commands is not None and state is not LinkState.CONNECTING:
                self._carry_out(self._commands.on_link(state is LinkState.CONNECTED, mono_s))
            if state is not LinkState.CONNECTED:
                self._is_online = False
        self._pump()

    def _on_ready(self) -> None:
        # Not sooner: who sees `online` may send a command, and it has to arrive.
        with self._containing_defects("ready"):
            self._is_online = True
            self._health_due_s = time.monotonic() + self._configuration.health.interval_s
            self._publish_health("online", retain=True)
        self._pump()

    # -- the one timer ----------------------------------------------------------------------

    def _pump(self) -> None:
        """Let time pass in every room, then arm the timer for the earliest deadline."""
        mono_s = time.monotonic()
        defects = self._defects
        # The timer is what keeps the dead-man alive: it goes on whatever happens here.
        with self._containing_defects("timer"):
            self._let_time_pass(mono_s)
        if self._defects > defects:
            self._not_before_s = mono_s + _AFTER_DEFECT_S
        self._arm()

    def _let_time_pass(self, mono_s: float) -> None:
        if self._commands is not None:
            # The pings of MQTT find a dead network after keep-alive and ping timeout, 40 s by
            # default; acknowledgements that do not come tell it in time for a car that drives.
            self._carry_out(self._commands.on_unanswered(self.session.owed_since_s, mono_s))
            self._carry_out(self._commands.poll(mono_s))
        self._publish(self.uplink.poll(mono_s))
        if mono_s >= self._health_due_s:
            self._health_due_s = mono_s + self._configuration.health.interval_s
            self._look_at_clock()
            # Offline it would wait in the window, and be out of date when it is sent.
            if self._is_online:
                self._publish_health("online")
        self._watch_simulator(mono_s)
        self._log_drops(mono_s)

    def _arm(self) -> None:
        assert self._loop is not None  # noqa: S101 - run() sets it before anything can arrive
        deadline_s = self._health_due_s
        if self._simulator_heard and self.uplink.ego_mono_s is not None:
            deadline_s = min(deadline_s, self.uplink.ego_mono_s + self._silent_after_s)
        if self.uplink.deadline_mono_s is not None:
            deadline_s = min(deadline_s, self.uplink.deadline_mono_s)
        if self._commands is not None:
            deadline_s = min(deadline_s, self._commands.next_deadline_s)
        # asyncio's loop.time() is time.monotonic() on every event loop this runs on, so deadlines
        # need no translation.
        if self._timer is not None:
            self._timer.cancel()
        # "Now" is minus infinity, which not every event loop can count with.
        earliest_s = max(self._loop.time(), self._not_before_s)
        at_s = max(deadline_s + _CLOCK_RESOLUTION_S, earliest_s)
        self._timer = self._loop.call_at(at_s, self._pump)

    @contextlib.contextmanager
    def _containing_defects(self, where: str) -> Iterator[None]:
        """Count an exception that should not exist, and log it with its traceback.

        The agent goes on: one that stops would leave the car to its last command.
        """
        try:
            yield
        except Exception as error:
            self._defects += 1
            mono_s = time.monotonic()
            if mono_s >= self._defects_due_s:
                self._defects_due_s = mono_s + _DEFECTS_LOGGED_EVERY_S
                log.exception("defect", where=where, count=self._defects, exc_info=error)

    def _look_at_clock(self) -> None:
        """Notice that a time source has taken the clock over, or lost it."""
        quality = _QUALITY[clock_is_synchronised()]
        if quality != self._vitals.clock.quality:
            clock = Clock("receive", quality)
            self._vitals.clock = clock
            self.uplink.set_clock(clock)
            log.info("clock_changed", quality=quality)

    def _watch_simulator(self, mono_s: float) -> None:
        heard_s = self.uplink.ego_mono_s
        if (
            self._simulator_heard
            and heard_s is not None
            and mono_s - heard_s >= self._silent_after_s
        ):
            self._simulator_heard = False
            log.warning("simulator_silent", silent_s=round(mono_s - heard_s, 1))

    def _log_drops(self, mono_s: float) -> None:
        if mono_s < self._drops_due_s:
            return
        self._drops_due_s = mono_s + _DROPS_LOGGED_EVERY_S
        dropped = {**self._link.counters.dropped, **self.uplink.counters.dropped}
        fresh = {
            cause: count - self._logged_drops.get(cause, 0)
            for cause, count in dropped.items()
            if count > self._logged_drops.get(cause, 0)
        }
        if fresh:
            log.warning("datagrams_dropped", **fresh)
            self._logged_drops = dropped

    # -- effects ----------------------------------------------------------------------------

    def _publish(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.session.publish(message)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(output=output):
                    data = encode(output.message, dialect=self._dialect)
                    if output.delay_s > 0 and self._loop is not None:
                        self._delayed_sends += 1
                        self._loop.call_later(
                            output.delay_s, self._send_delayed, output.channel, data
                        )
                    else:
                        self._link.send(output.channel, data)
                case Respond():
                    topic = self._topics.response(effect.protocol, effect.execution_id)
                    self.session.publish(Message(topic, effect.document, qos=1, urgent=True))
                    _log_answer(effect)
                case _:
                    assert_never(effect)
        if self._commands is not None:
            for change in self._commands.take_transitions():
                log.info(
                    "control_changed",
                    before=change.before.name,
                    after=change.after.name,
                    cause=change.cause.name,
                )
        self._note_if_left_alone()

    def _send_delayed(self, channel: str, data: bytes) -> None:
        self._delayed_sends -= 1
        self._link.send(channel, data)
        self._note_if_left_alone()

    def _note_if_left_alone(self) -> None:
        if self._commands is not None and self._commands.is_closed and not self._delayed_sends:
            self._car_left_alone.set()

    def _publish_health(self, state: HealthState, *, retain: bool = False) -> None:
        document = self._vitals.document(
            state,
            now_s=time.time(),
            mono_s=time.monotonic(),
            received=self._link.counters.received,
            counters=gather(
                self._link.counters,
                self.uplink,
                self.session,
                None if self._commands is None else self._commands.counters,
                defects=self._defects,
            ),
        )
        self.session.publish(
            Message(self._health_topic, encode_health(document), qos=1, retain=retain)
        )

    # -- the end ----------------------------------------------------------------------------

    async def _sign_off(self) -> None:
        log.info("agent_stopping")
        self._publish_health("stopping")
        if self._commands is not None:
            self._carry_out(self._commands.shutdown(time.monotonic()))
            self._pump()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_STOP_S):
                    await self._car_left_alone.wait()
            self.stop_the_car_at_once()
        # What arrived later would be taken in and never be sent.
        await self._link.close()
        self._publish(self.uplink.flush())
        self._publish_health("offline", retain=True)
        drained = await self.session.drain(CLOSING_S)
        self._is_leaving = True
        log.info("agent_stopped", drained=drained, unacknowledged=self.session.unacknowledged)

    def stop_the_car_at_once(self) -> None:
        """Send the closing stops without their pauses, unless the car is known to stand."""
        if self._commands is None or self._car_left_alone.is_set():
            return
        self._car_left_alone.set()
        with self._containing_defects("closing stop"):
            for effect in self._commands.shutdown(time.monotonic()):
                if isinstance(effect, Send):
                    data = encode(effect.output.message, dialect=self._dialect)
                    self._link.send(effect.output.channel, data)


def _log_answer(answer: Respond) -> None:
    try:
        outcome = decode_outcome(answer.document)
    except ResponseError:
        # Written by another release, which knew another reason.
        return
    tell = log.info if outcome.status.is_final else log.debug
    tell(
        "command_answered",
        execution=answer.execution_id,
        status=outcome.status.value,
        reason=None if outcome.reason is None else outcome.reason.value,
    )
