"""AWS IoT Commands: requests to devices, their answers, time-outs and events.

Serves `$aws/commands/{things|clients}/<id>/executions/<executionId>/response/{json|cbor}` and the
operations of the API. Sources: AWS IoT Core developer guide, "AWS IoT Commands", "Reserved topics"
and "Command execution events"; AWS IoT API reference and AWS IoT jobs data API reference. Knows
nothing about connections: whether a device gets a request is a matter of its subscription.

What AWS does not say and was chosen here: executions that the cloud timed out do not count against
the 100 concurrent ones of a device; an answer has the QoS of the report; a deleted execution that
is unknown is no error, since the service model has no exception for it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.command_catalogue import (
    LIST_MAX,
    NAMESPACE,
    CommandCatalogue,
)
from simulator.iotcore.services.command_execution import (
    Execution,
    Refusal,
    Status,
    read_report,
)
from simulator.iotcore.services.command_ledger import KEEP_S, ExecutionLedger
from simulator.iotcore.services.command_payload import INVALID, read_value
from simulator.iotcore.services.command_topics import Address, direct_answer, request_topic
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import format_of
from simulator.iotcore.services.members import Members, Request, Result, without_nulls
from simulator.iotcore.services.saved import restored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry

DEFAULT_TIMEOUT_S: Final = 10
TIMEOUT_S_MAX: Final = 43_200
"""AWS IoT Device Management quota "command execution timeout"."""

CONCURRENT_MAX: Final = 100
"""Executions whose time is running, per device; AWS IoT Device Management quota."""

TOKENS_MAX: Final = 10_000
"""Client tokens remembered. Beyond, the oldest is forgotten."""

_EXECUTION_ID: Final = r"[a-zA-Z0-9_-]{1,64}"
_PRINTABLE: Final = r"[\x21-\x7E]{1,64}"
_TARGET: Final = re.compile(r"(thing|client)/(.{1,128})")
_TIME: Final = "%Y-%m-%dT%H:%M"


class Commands:
    """The service. It keeps at most 1,000 commands and 50,000 executions.

    Args:
        registry: The account's things, which may be targets.
        account: Whose ARNs these are.
        new_id: Makes execution ids, such as UUIDs.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        account: Account,
        new_id: Callable[[], str],
        unix_s_at_zero: float,
    ) -> None:
        self._registry = registry
        self._arn_prefix = account.arn_prefix
        self._new_id = new_id
        self._unix_s_at_zero = unix_s_at_zero
        self._catalogue = CommandCatalogue(self._command_arn, unix_s_at_zero)
        self._executions = ExecutionLedger()
        self._tokens: OrderedDict[str, tuple[str, str]] = OrderedDict()

    # Devices

    def claims(self, topic: str, /) -> bool:
        """Whether the topic is one of the response topics."""
        return Address.of(topic) is not None

    def handle(self, message: Message, client_id: str | None, now_s: float, /) -> Sequence[Answer]:
        """Take a device's report (UpdateCommandExecution).

        Returns:
            The direct answer on `.../response/accepted/<format>` or `.../rejected/<format>`, and
            the event when the report was accepted. A format that is neither `json` nor `cbor` is
            answered as JSON on `.../response/rejected`.
        """
        address = Address.of(message.topic)
        if address is None:
            return ()
        payload_format = format_of(address.level)
        base = message.topic.rsplit("/", 1)[0]
        try:
            execution = self._addressed(address)
            report = read_report(message.payload, payload_format)
            execution.report(report, now_s + self._unix_s_at_zero)
        except Refusal as refusal:
            document = {
                "error": refusal.code,
                "errorMessage": refusal.message,
                "executionId": address.execution_id,
            }
            topic = f"{base}/rejected/{payload_format}" if payload_format else f"{base}/rejected"
            return [direct_answer(topic, document, payload_format, message, client_id, now_s)]
        self._executions.changed(execution)
        topic = f"{base}/accepted/{payload_format}"
        accepted = {"executionId": execution.execution_id}
        return [
            direct_answer(topic, accepted, payload_format, message, client_id, now_s),
            self._event(execution, now_s),
        ]

    def throttled(
        self, message: Message, client_id: str | None, now_s: float, /
    ) -> Sequence[Answer]:
        """Reject a device's report with RequestThrottled."""
        address = Address.of(message.topic)
        if address is None:
            return ()
        payload_format = format_of(address.level)
        document = {
            "error": "RequestThrottled",
            "errorMessage": "The rate of requests is above the quota",
            "executionId": address.execution_id,
        }
        base = message.topic.rsplit("/", 1)[0]
        topic = f"{base}/rejected/{payload_format}" if payload_format else f"{base}/rejected"
        return [direct_answer(topic, document, payload_format, message, client_id, now_s)]

    def _addressed(self, address: Address) -> Execution:
        execution = self._executions.get(address.execution_id)
        target = (address.kind, address.device)
        if execution is None or (execution.target_kind, execution.target_id) != target:
            raise Refusal("ResourceNotFound", "The execution does not exist on this device")
        return execution

    # Time

    def advance(self, now_s: float, /) -> Sequence[Answer]:
        """Time out the executions that were not answered, and forget what is past keeping."""
        self._catalogue.advance(now_s)
        events = []
        for execution in self._executions.timed_out(now_s):
            if execution.time_out(now_s + self._unix_s_at_zero):
                self._executions.changed(execution)
                events.append(self._event(execution, now_s))
        self._executions.forget_expired(now_s)
        return events

    @property
    def next_deadline_s(self) -> float | None:
        """When the next time-out, deletion or end of keeping is due."""
        times = (self._executions.next_deadline_s, self._catalogue.next_deadline_s)
        return min((time for time in times if time is not None), default=None)

    # The API: commands

    def create_command(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateCommand.

        Raises:
            ServiceFailure: ValidationException, ConflictException, ServiceQuotaExceededException.
        """
        return self._catalogue.create(request, now_s), []

    def get_command(self, request: Request) -> tuple[Result, list[Answer]]:
        """GetCommand.

        Raises:
            ServiceFailure: ValidationException, ResourceNotFoundException.
        """
        return self._catalogue.get(request), []

    def list_commands(self, request: Request) -> tuple[Result, list[Answer]]:
        """ListCommands.

        Raises:
            ServiceFailure: ValidationException.
        """
        return self._catalogue.list_all(request), []

    def update_command(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateCommand.

        Raises:
            ServiceFailure: ValidationException, ResourceNotFoundException, ConflictException.
        """
        return self._catalogue.update(request, now_s), []

    def delete_command(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteCommand. `statusCode` of the result is the status of the HTTP answer.

        Raises:
            ServiceFailure: ValidationException.
        """
        return self._catalogue.delete(request, now_s), []

    # The API: executions

    def start_command_execution(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """StartCommandExecution (service `iot-jobs-data`).

        The request to the device goes to those who subscribed to
        `$aws/commands/<kind>/<id>/executions/<executionId>/request[/json|/cbor]`, at QoS 1, with
        the payload's Content Type and the timeout as Message Expiry Interval.

        Raises:
            ServiceFailure: ValidationException, ResourceNotFoundException for an unknown command
                or thing, ConflictException for a client token used with another request, or
                ServiceQuotaExceededException above 100 running executions of the device.
        """
        members = Members(request, INVALID)
        token = members.text("clientToken", pattern=_PRINTABLE)
        fingerprint = _fingerprint(request)
        if token and token in self._tokens:
            earlier, execution_id = self._tokens[token]
            if earlier != fingerprint:
                raise ServiceFailure(
                    "ConflictException", "clientToken was used with another request", 409
                )
            return {"executionId": execution_id}, []
        execution, payload, content_type = self._prepare(members, now_s)
        self._executions.keep(execution, now_s)
        if token:
            self._tokens[token] = (fingerprint, execution.execution_id)
            while len(self._tokens) > TOKENS_MAX:
                self._tokens.popitem(last=False)
        order = Message(
            request_topic(execution, content_type),
            payload,
            1,
            now_s,
            expiry_s=execution.timeout_s,
            content_type=content_type,
        )
        answers = [Answer(order), self._event(execution, now_s)]
        return {"executionId": execution.execution_id}, answers

    def _prepare(self, members: Members, now_s: float) -> tuple[Execution, bytes, str]:
        command_arn = members.required_text("commandArn")
        target_arn = members.required_text("targetArn", longest=2048)
        timeout_s = members.integer("executionTimeoutSeconds", 1, TIMEOUT_S_MAX)
        timeout_s = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        parameters = members.mapping("parameters") or {}
        for name, value in parameters.items():
            read_value(f"parameter {name}", value)
        kind, target_id = self._target(members, target_arn)
        command_prefix = self._command_arn("")
        if not command_arn.startswith(command_prefix):
            raise members.failure(f"commandArn must start with {command_prefix}")
        command = self._catalogue.executable(command_arn.removeprefix(command_prefix))
        payload, content_type = command.payload(parameters, timeout_s)
        if self._executions.awaited_of(target_arn) >= CONCURRENT_MAX:
            raise ServiceFailure(
                "ServiceQuotaExceededException",
                f"{target_arn} has {CONCURRENT_MAX} running executions",
                402,
                quota=Cause.QUOTA_COMMANDS_OF_DEVICE,
            )
        unix_s = now_s + self._unix_s_at_zero
        execution = Execution(
            execution_id=self._new_id(),
            command_id=command.command_id,
            command_arn=command_arn,
            target_kind=f"{kind}s",
            target_id=target_id,
            target_arn=target_arn,
            timeout_s=timeout_s,
            created_unix_s=unix_s,
            updated_unix_s=unix_s,
            parameters=dict(parameters) or None,
        )
        return execution, payload, content_type

    def _target(self, members: Members, target_arn: str) -> tuple[str, str]:
        found = _TARGET.fullmatch(target_arn.removeprefix(self._arn_prefix))
        if not target_arn.startswith(self._arn_prefix) or found is None:
            raise members.failure(
                f"targetArn must be {self._arn_prefix}thing/<name> or "
                f"{self._arn_prefix}client/<client id>"
            )
        kind, name = found.groups()
        if any(mark in name for mark in "/+#\x00"):
            raise members.failure("targetArn names a device that no topic can name")
        if kind == "thing" and self._registry.thing(name) is None:
            raise ServiceFailure("ResourceNotFoundException", f"thing {name} does not exist", 404)
        return kind, name

    def get_command_execution(self, request: Request) -> tuple[Result, list[Answer]]:
        """GetCommandExecution.

        Raises:
            ServiceFailure: ValidationException, or ResourceNotFoundException when the target has
                no such execution.
        """
        members = Members(request, INVALID)
        execution = self._found(members)
        if execution is None:
            raise ServiceFailure(
                "ResourceNotFoundException", "the command execution does not exist", 404
            )
        include = bool(members.flag("includeResult"))
        return execution.details(include_result=include, keep_s=KEEP_S), []

    def list_command_executions(self, request: Request) -> tuple[Result, list[Answer]]:
        """ListCommandExecutions, newest first unless the request says ASCENDING.

        Raises:
            ServiceFailure: ValidationException, also when not exactly one of `commandArn` and
                `targetArn` is given, or both time filters are.
        """
        members = Members(request, INVALID)
        members.choice("namespace", (NAMESPACE, "AWS-IoT-FleetWise"))
        namespace = members.text("namespace")
        command_arn, target_arn = members.text("commandArn"), members.text("targetArn")
        status = members.choice("status", list(Status))
        if (command_arn is None) == (target_arn is None):
            raise members.failure("exactly one of commandArn and targetArn is required")
        if "startedTimeFilter" in members and "completedTimeFilter" in members:
            raise members.failure("only one of the two time filters can be given")
        started = _time_filter(members, "startedTimeFilter")
        completed = _time_filter(members, "completedTimeFilter")
        ascending = members.choice("sortOrder", ("ASCENDING", "DESCENDING")) == "ASCENDING"
        executions = self._executions.values()
        entries = [
            (execution.execution_id, execution.summary)
            for execution in (executions if ascending else reversed(executions))
            if command_arn in {None, execution.command_arn}
            and target_arn in {None, execution.target_arn}
            and status in {None, execution.status}
            and started(execution.created_unix_s)
            and completed(execution.completed_unix_s)
            and namespace in {None, NAMESPACE}
        ]
        page, token = members.page(entries, LIST_MAX)
        return without_nulls({"commandExecutions": page, "nextToken": token}), []

    def delete_command_execution(self, request: Request) -> tuple[Result, list[Answer]]:
        """DeleteCommandExecution. One that is unknown is gone.

        Raises:
            ServiceFailure: ValidationException, or ConflictException when it is not terminal.
        """
        execution = self._found(Members(request, INVALID))
        if execution is not None:
            if not execution.is_terminal:
                raise ServiceFailure(
                    "ConflictException",
                    f"the command execution is in the non-terminal status {execution.status}",
                    409,
                )
            self._executions.forget(execution.execution_id)
        return {}, []

    def _found(self, members: Members) -> Execution | None:
        execution_id = members.required_text("executionId", pattern=_EXECUTION_ID)
        target_arn = members.required_text("targetArn", longest=2048)
        execution = self._executions.get(execution_id)
        matches = execution is not None and execution.target_arn == target_arn
        return execution if matches else None

    # Keeping

    def status(self) -> dict[str, Any]:
        """Commands, and executions kept, awaited and forgotten before their time."""
        return {
            "commands": len(self._catalogue),
            "executions": len(self._executions),
            "executions_awaited": self._executions.awaited,
            "executions_forgotten": self._executions.forgotten,
        }

    def dump(self) -> dict[str, Any]:
        """Commands, executions and client tokens."""
        document: dict[str, Any] = msgspec.to_builtins(self.saved())
        return document

    def saved(self) -> dict[str, Any]:
        """The same without a copy: to be encoded before anything changes."""
        return {
            "commands": self._catalogue.dump(),
            "executions": list(self._executions.values()),
            "tokens": [[token, *known] for token, known in self._tokens.items()],
        }

    def load(self, document: dict[str, Any], /) -> None:
        """Take over what `dump` gave. Time-outs that passed meanwhile are due at once.

        Raises:
            ValueError: The document is damaged.
        """
        saved = restored(document, _Saved, "command executions")
        self._catalogue.load(saved.commands)
        self._executions = ExecutionLedger()
        for execution in saved.executions:
            created_s = execution.created_unix_s - self._unix_s_at_zero
            self._executions.keep(execution, created_s)
        self._tokens = OrderedDict(
            (token, (fingerprint, execution_id))
            for token, fingerprint, execution_id in saved.tokens
        )

    # Messages

    def _command_arn(self, command_id: str) -> str:
        return f"{self._arn_prefix}command/{command_id}"

    def _event(self, execution: Execution, now_s: float) -> Answer:
        reason = None if execution.reason is None else msgspec.to_builtins(execution.reason)
        document = without_nulls(
            {
                "executionId": execution.execution_id,
                "status": execution.status.value,
                "statusReason": reason,
                "eventType": "COMMAND_EXECUTION",
                "commandArn": execution.command_arn,
                "targetArn": execution.target_arn,
                "timestamp": round((now_s + self._unix_s_at_zero) * 1000),
            }
        )
        topic = f"$aws/events/commandExecution/{execution.command_id}/{execution.status}"
        return Answer(Message(topic, msgspec.json.encode(document), 1, now_s))


class _Saved(msgspec.Struct):
    commands: list[Any]
    executions: list[Execution]
    tokens: list[tuple[str, str, str]]


def _fingerprint(request: Request) -> str:
    """What two requests with the same client token must agree on."""
    relevant = {name: value for name, value in request.items() if value is not None}
    return msgspec.json.encode(relevant, order="deterministic").decode()


def _time_filter(members: Members, name: str) -> Callable[[float | None], bool]:
    """A test of a time against a TimeFilter; without a filter everything passes."""
    given = members.within(name)
    after, before = (_time(given, member) for member in ("after", "before"))
    if after is None and before is None:
        return lambda _: True
    return lambda unix_s: (
        unix_s is not None
        and (after is None or unix_s > after)
        and (before is None or unix_s < before)
    )


def _time(members: Members, name: str) -> float | None:
    text = members.text(name, longest=64)
    if text is None:
        return None
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise members.failure(f"{name} must have the form yyyy-MM-dd'T'HH:mm") from error
