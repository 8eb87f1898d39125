"""The data plane of AWS IoT Jobs over MQTT: `$aws/things/<thing>/jobs/...`.

Owns the topics, the JSON of requests and the form of answers (developer guide, "Jobs device MQTT
API operations", "ErrorResponse"). Total: any payload gets one answer, which goes to the requester
alone and has the QoS of the request. Knows no rules of jobs.

What AWS does not say and was chosen here: `clientToken` is text of at most 1,024 characters; a
payload that is JSON but no object is an InvalidRequest; an empty payload is an empty object.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.formats import Format, PayloadError, read
from simulator.iotcore.services.jobs_requests import (
    JOB_ID,
    NEXT,
    JobMembers,
    JobsFailure,
    invalid,
)
from simulator.iotcore.services.jobs_shapes import device_execution, execution_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.services.jobs_data import DataPlane
    from simulator.iotcore.services.jobs_records import Execution
    from simulator.iotcore.services.members import Result

CLIENT_TOKEN_CHARACTERS_MAX: Final = 1_024
_THROTTLED: Final = "Request rate is too high"

_OWN: Final = frozenset({"accepted", "rejected"})
_JOB_ID: Final = re.compile(JOB_ID)
_LEVELS_WITHOUT_JOB: Final = 5
_LEVELS_WITH_JOB: Final = 6


class DeviceRequest(NamedTuple):
    """A request topic taken apart.

    Attributes:
        thing: Name of the thing.
        verb: `get`, `start-next` or `update`; empty when the topic is no operation.
        job_id: The job id, `$next`, or None.
    """

    thing: str
    verb: str
    job_id: str | None


def read_topic(topic: str) -> DeviceRequest | None:
    """Take a topic apart; None when it is no request to Jobs."""
    levels = topic.split("/")
    if len(levels) < _LEVELS_WITHOUT_JOB or levels[:2] != ["$aws", "things"]:
        return None
    if levels[3] != "jobs" or levels[-1] in _OWN:
        return None
    thing, tail = levels[2], levels[4:]
    if len(levels) == _LEVELS_WITHOUT_JOB:
        if tail[0] in {"notify", "notify-next"}:
            return None
        return DeviceRequest(thing, tail[0] if tail[0] in {"get", "start-next"} else "", None)
    job_id, verb = tail[0], tail[1]
    is_job = _JOB_ID.fullmatch(job_id) is not None
    if len(levels) == _LEVELS_WITH_JOB and (
        (verb == "get" and (is_job or job_id == NEXT)) or (verb == "update" and is_job)
    ):
        return DeviceRequest(thing, verb, job_id)
    return DeviceRequest(thing, "", None)


class DeviceTopics:
    """Answers the requests of devices.

    Args:
        data: The operations.
        document: Gives the job document of an execution as JSON.
        drain: Gives what is to be published after a change.
        unix_s_at_zero: Unix time when the broker's clock was 0.
    """

    def __init__(
        self,
        data: DataPlane,
        document: Callable[[Execution], Any],
        drain: Callable[[float], list[Answer]],
        unix_s_at_zero: float,
    ) -> None:
        self._data = data
        self._document = document
        self._drain = drain
        self._unix_s_at_zero = unix_s_at_zero

    def handle(self, message: Message, client_id: str | None, now_s: float) -> list[Answer]:
        """Answer a request; without a requester only its effects are given."""
        request = read_topic(message.topic)
        if request is None:
            return []
        token: str | None = None
        try:
            members = _read(message.payload)
            token = members.text("clientToken", longest=CLIENT_TOKEN_CHARACTERS_MAX)
            result = self._serve(request, members, now_s)
        except ServiceFailure as failure:
            ending, result = "rejected", _refusal(failure)
        else:
            ending = "accepted"
        return [
            *self._answer(message, client_id, ending, result, token, now_s),
            *self._drain(now_s),
        ]

    def throttled(self, message: Message, client_id: str | None, now_s: float) -> list[Answer]:
        """The answer to a request that a quota refuses."""
        if read_topic(message.topic) is None:
            return []
        try:
            members = _read(message.payload)
            token = members.text("clientToken", longest=CLIENT_TOKEN_CHARACTERS_MAX)
        except ServiceFailure:
            token = None
        refusal = {"code": "RequestThrottled", "message": _THROTTLED}
        return self._answer(message, client_id, "rejected", refusal, token, now_s)

    def _serve(self, request: DeviceRequest, members: JobMembers, now_s: float) -> Result:
        thing, verb, job_id = request
        if not verb:
            raise JobsFailure(
                "InvalidRequestException", "The topic is no operation", 400, "InvalidTopic"
            )
        if verb == "update" and job_id is not None:
            update = self._data.update(thing, job_id, members, now_s)
            result: Result = {}
            if update.has_state:
                result["executionState"] = execution_state(update.execution)
            if update.has_document:
                result["jobDocument"] = self._document(update.execution)
            return result
        if verb == "start-next":
            return self._shown(self._data.start_next(thing, members, now_s), now_s)
        if job_id is None:
            return self._data.list_pending(thing)
        execution, has_document = self._data.describe(thing, job_id, members)
        return self._shown(execution, now_s, has_document=has_document)

    def _shown(
        self, execution: Execution | None, now_s: float, *, has_document: bool = True
    ) -> Result:
        if execution is None:
            return {}
        shown = device_execution(execution, self._unix_s_at_zero + now_s)
        if has_document:
            shown["jobDocument"] = self._document(execution)
        return {"execution": shown}

    def _answer(
        self,
        message: Message,
        client_id: str | None,
        ending: str,
        result: Result,
        token: str | None,
        now_s: float,
    ) -> list[Answer]:
        if client_id is None:
            return []
        document = result | {"timestamp": int(self._unix_s_at_zero + now_s)}
        if token is not None:
            document["clientToken"] = token
        payload = msgspec.json.encode(document)
        answer = Message(f"{message.topic}/{ending}", payload, message.qos, now_s)
        return [Answer(answer, client_id)]


def _read(payload: bytes) -> JobMembers:
    try:
        document = read(payload, Format.JSON) if payload else {}
    except PayloadError as error:
        raise JobsFailure(
            "InvalidRequestException",
            "The payload is not JSON in UTF-8",
            400,
            "InvalidJson",
        ) from error
    if not isinstance(document, dict):
        raise invalid("The request must be a JSON object")
    return JobMembers(document)


def _refusal(failure: ServiceFailure) -> Result:
    refusal: Result = {"code": "InvalidRequest", "message": failure.message}
    if isinstance(failure, JobsFailure):
        refusal["code"] = failure.device_code
        if failure.execution is not None:
            refusal["executionState"] = execution_state(failure.execution)
    return refusal
