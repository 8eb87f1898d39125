"""The account's commands: what can be executed, as CreateCommand and its siblings see it.

Sources: AWS IoT API reference, CreateCommand, GetCommand, ListCommands, UpdateCommand and
DeleteCommand; developer guide, "Create and manage commands". Only the namespace AWS-IoT is served.
Knows nothing about executions or topics.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.deadlines import Deadlines
from simulator.iotcore.services.command_payload import INVALID, PayloadTemplate, read_parameters
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import CONTENT_TYPES, Format
from simulator.iotcore.services.members import Members, Request, Result, without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

NAMESPACE: Final = "AWS-IoT"
COMMAND_ID: Final = r"[a-zA-Z0-9_-]{1,64}"
PAYLOAD_BYTES_MAX: Final = 32 * 1024
COMMANDS_MAX: Final = 1_000
"""Commands of an account. AWS publishes no number; beyond it, ServiceQuotaExceededException."""

DELETION_S: Final = 43_200
"""Longest execution timeout: a command stays this long after it was deprecated or deleted."""

LIST_MAX: Final = 100
DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"
_DISPLAY_NAME_CHARACTERS_MAX: Final = 64
_DESCRIPTION_CHARACTERS_MAX: Final = 2028
_CONTENT_TYPE_CHARACTERS_MAX: Final = 256  # AWS IoT Core quota "content type" of MQTT 5


class Command(msgspec.Struct):
    """A command. Times are Unix time in seconds.

    Attributes:
        command_id: Its id.
        definition: The members of CreateCommand that GetCommand gives back unchanged.
        created_unix_s: When it was created.
        updated_unix_s: When it was last changed.
        display_name: Name for people.
        description: More for people.
        deprecated_unix_s: Since when it is deprecated, if it is.
        deletion_unix_s: When it will be removed, if it was deleted.
    """

    command_id: str
    definition: dict[str, Any]
    created_unix_s: float
    updated_unix_s: float
    display_name: str | None = None
    description: str | None = None
    deprecated_unix_s: float | None = None
    deletion_unix_s: float | None = None

    def payload(self, parameters: dict[str, Any], timeout_s: int) -> tuple[bytes, str]:
        """Payload and content type of an execution.

        Raises:
            ServiceFailure: The parameters do not fit.
        """
        template = self.definition.get("payloadTemplate")
        if template is not None:
            output = _output_format(Members(self.definition, INVALID))
            declared = read_parameters(self.definition["mandatoryParameters"])
            payload = PayloadTemplate(template, declared, output).fill(parameters, timeout_s)
            return payload, CONTENT_TYPES[output]
        if parameters:
            raise ServiceFailure(INVALID, "the command has no parameters")
        static = Members(self.definition, INVALID).within("payload")
        return static.blob("content") or b"", static.text("contentType") or DEFAULT_CONTENT_TYPE

    def state(self) -> Result:
        """The members that GetCommand and ListCommands share."""
        return without_nulls(
            {
                "commandId": self.command_id,
                "displayName": self.display_name,
                "createdAt": self.created_unix_s,
                "lastUpdatedAt": self.updated_unix_s,
                "deprecated": self.deprecated_unix_s is not None,
                "pendingDeletion": self.deletion_unix_s is not None,
            }
        )


class CommandCatalogue:
    """Every command of the account.

    Args:
        arn: Makes the ARN of a command of its id.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(self, arn: Callable[[str], str], unix_s_at_zero: float) -> None:
        self._arn = arn
        self._unix_s_at_zero = unix_s_at_zero
        self._commands: dict[str, Command] = {}
        self._deletions: Deadlines[str] = Deadlines()

    def executable(self, command_id: str) -> Command:
        """The command, for an execution.

        Raises:
            ServiceFailure: It is unknown, deprecated or about to be deleted.
        """
        command = self._known(command_id)
        if command.deletion_unix_s is not None:
            raise ServiceFailure(INVALID, f"command {command_id} is pending deletion")
        if command.deprecated_unix_s is not None:
            raise ServiceFailure(INVALID, f"command {command_id} is deprecated")
        return command

    def create(self, request: Request, now_s: float) -> Result:
        """CreateCommand.

        Raises:
            ServiceFailure: ValidationException, ConflictException when the id is taken, or
                ServiceQuotaExceededException.
        """
        members = Members(request, INVALID)
        command_id = _command_id(members)
        if (members.text("namespace") or NAMESPACE) != NAMESPACE:
            raise members.failure(f"only the namespace {NAMESPACE} is supported")
        definition = _definition(members)
        if command_id in self._commands:
            raise ServiceFailure("ConflictException", f"command {command_id} already exists", 409)
        if len(self._commands) >= COMMANDS_MAX:
            raise ServiceFailure(
                "ServiceQuotaExceededException", f"the account has {COMMANDS_MAX} commands", 402
            )
        unix_s = now_s + self._unix_s_at_zero
        self._commands[command_id] = Command(
            command_id,
            definition,
            unix_s,
            unix_s,
            display_name=_display_name(members),
            description=_description(members),
        )
        return {"commandId": command_id, "commandArn": self._arn(command_id)}

    def get(self, request: Request) -> Result:
        """GetCommand.

        Raises:
            ServiceFailure: ResourceNotFoundException.
        """
        command = self._known(_command_id(Members(request, INVALID)))
        return (
            command.definition
            | command.state()
            | without_nulls(
                {
                    "commandArn": self._arn(command.command_id),
                    "namespace": NAMESPACE,
                    "description": command.description,
                }
            )
        )

    def list_all(self, request: Request) -> Result:
        """ListCommands, newest first unless the request says ASCENDING.

        Commands that are pending deletion are not listed.

        Raises:
            ServiceFailure: ValidationException.
        """
        members = Members(request, INVALID)
        members.choice("namespace", (NAMESPACE, "AWS-IoT-FleetWise"))
        parameter = members.text("commandParameterName")
        ascending = members.choice("sortOrder", ("ASCENDING", "DESCENDING")) == "ASCENDING"
        commands = list(self._commands.values())
        entries = [
            (command.command_id, command.state() | {"commandArn": self._arn(command.command_id)})
            for command in (commands if ascending else reversed(commands))
            if command.deletion_unix_s is None
            and members.text("namespace") in {None, NAMESPACE}
            and (parameter is None or parameter in _parameter_names(command))
        ]
        page, token = members.page(entries, LIST_MAX)
        return without_nulls({"commands": page, "nextToken": token})

    def update(self, request: Request, now_s: float) -> Result:
        """UpdateCommand.

        Raises:
            ServiceFailure: ValidationException (also for editing a deprecated command without
                restoring it), ResourceNotFoundException, or ConflictException when it is pending
                deletion.
        """
        members = Members(request, INVALID)
        command = self._known(_command_id(members))
        if command.deletion_unix_s is not None:
            raise ServiceFailure(
                "ConflictException", f"command {command.command_id} is pending deletion", 409
            )
        display_name, description = _display_name(members), _description(members)
        deprecated = members.flag("deprecated")
        if display_name is None and description is None and deprecated is None:
            raise members.failure("displayName, description or deprecated is required")
        if command.deprecated_unix_s is not None and deprecated is not False:
            raise members.failure("a deprecated command must be restored before it is edited")
        unix_s = now_s + self._unix_s_at_zero
        command.display_name = command.display_name if display_name is None else display_name
        command.description = command.description if description is None else description
        if deprecated is not None:
            command.deprecated_unix_s = unix_s if deprecated else None
        command.updated_unix_s = unix_s
        return without_nulls(
            {
                "commandId": command.command_id,
                "displayName": command.display_name,
                "description": command.description,
                "deprecated": command.deprecated_unix_s is not None,
                "lastUpdatedAt": unix_s,
            }
        )

    def delete(self, request: Request, now_s: float) -> Result:
        """DeleteCommand: 204 when it is gone, 202 when it will be removed after twelve hours.

        A command that is unknown is gone: the service model has no exception for it.

        Raises:
            ServiceFailure: ValidationException.
        """
        command_id = _command_id(Members(request, INVALID))
        command = self._commands.get(command_id)
        unix_s = now_s + self._unix_s_at_zero
        if command is None:
            return {"statusCode": 204}
        since = command.deprecated_unix_s
        if since is not None and unix_s - since >= DELETION_S:
            self._remove(command_id)
            return {"statusCode": 204}
        if command.deletion_unix_s is None:
            command.deletion_unix_s = unix_s + DELETION_S
            self._deletions.set(command_id, now_s + DELETION_S)
        return {"statusCode": 202}

    def advance(self, now_s: float) -> None:
        """Remove the commands whose deletion is due."""
        for command_id in self._deletions.due(now_s):
            self._remove(command_id)

    @property
    def next_deadline_s(self) -> float | None:
        """When the next deletion is due."""
        return self._deletions.next_s()

    def __len__(self) -> int:
        return len(self._commands)

    def dump(self) -> list[Any]:
        """Every command, as JSON."""
        dumped: list[Any] = msgspec.to_builtins(list(self._commands.values()))
        return dumped

    def load(self, document: Any) -> None:
        """Take over what `dump` gave.

        Raises:
            ValueError: The document is damaged.
        """
        try:
            commands = msgspec.convert(document, list[Command])
            for command in commands:
                _definition(Members(command.definition, INVALID))
        except (msgspec.ValidationError, ServiceFailure) as error:
            raise ValueError(f"commands: {error}") from error
        self._commands = {command.command_id: command for command in commands}
        self._deletions = Deadlines()
        for command in commands:
            if command.deletion_unix_s is not None:
                self._deletions.set(
                    command.command_id, command.deletion_unix_s - self._unix_s_at_zero
                )

    def _known(self, command_id: str) -> Command:
        command = self._commands.get(command_id)
        if command is None:
            raise ServiceFailure(
                "ResourceNotFoundException", f"command {command_id} does not exist", 404
            )
        return command

    def _remove(self, command_id: str) -> None:
        self._deletions.cancel(command_id)
        self._commands.pop(command_id, None)


def _command_id(members: Members) -> str:
    return members.required_text("commandId", pattern=COMMAND_ID)


def _display_name(members: Members) -> str | None:
    return members.text("displayName", longest=_DISPLAY_NAME_CHARACTERS_MAX, printable=True)


def _description(members: Members) -> str | None:
    return members.text("description", longest=_DESCRIPTION_CHARACTERS_MAX, printable=True)


def _parameter_names(command: Command) -> list[str]:
    return [entry["name"] for entry in command.definition.get("mandatoryParameters", ())]


def _output_format(members: Members) -> Format:
    output = (
        members.within("preprocessor")
        .within("awsJsonSubstitution")
        .choice("outputFormat", ("JSON", "CBOR"))
    )
    if output is None:
        raise members.failure("preprocessor with awsJsonSubstitution.outputFormat is required")
    return Format(output.lower())


def _definition(members: Members) -> dict[str, Any]:
    """The payload, or the template with all that belongs to it, checked."""
    template = members.text("payloadTemplate")
    if (template is None) == ("payload" not in members):
        raise members.failure("exactly one of payload and payloadTemplate is required")
    if template is not None:
        raw = members.mappings("mandatoryParameters")
        PayloadTemplate(template, read_parameters(raw), _output_format(members))
        return {
            "payloadTemplate": template,
            "preprocessor": members.mapping("preprocessor"),
            "mandatoryParameters": raw,
        }
    payload = members.within("payload")
    content = payload.blob("content")
    if not content:
        raise members.failure("payload.content is required")
    if len(content) > PAYLOAD_BYTES_MAX:
        raise members.failure(f"payload.content must have at most {PAYLOAD_BYTES_MAX} bytes")
    content_type = payload.text(
        "contentType",
        pattern=r"[\x21-\x7e]+/[\x20-\x7e]+",
        longest=_CONTENT_TYPE_CHARACTERS_MAX,
    )
    # GetCommand gives what was given, so an absent type stays absent.
    encoded = base64.b64encode(content).decode()
    return {"payload": without_nulls({"content": encoded, "contentType": content_type})}
