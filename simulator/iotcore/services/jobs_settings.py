"""How a job runs: time-outs, rollout, abort, retry and schedule, read and decided.

Owns the configuration members of CreateJob and UpdateJob, their limits and what each of them
decides (developer guide, "How job configurations work"; API reference, CreateJob). Every structure
has AWS's member names when it is encoded. Knows nothing about jobs or executions beyond counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulator.iotcore.services.jobs_requests import JobMembers

TIMEOUT_MINUTES_MAX: Final = 10_080
ROLLOUT_PER_MINUTE_MAX: Final = 1_000
"""AWS IoT Device Management quota, and what applies without a rollout configuration."""
RETRIES_MAX: Final = 10
_THINGS_MAX: Final = 2**31 - 1
_LEAD_S: Final = 30 * 60
_START_AHEAD_S: Final = 366 * 86_400
_END_AHEAD_S: Final = 2 * 366 * 86_400

Ending: TypeAlias = Literal["STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL"]
FailureType: TypeAlias = Literal["FAILED", "REJECTED", "TIMED_OUT", "ALL"]

_FAILURES: Final = ("FAILED", "REJECTED", "TIMED_OUT")


class _Settings(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True
):
    """Encodes with AWS's member names."""


class Timeout(_Settings, frozen=True):
    """`timeoutConfig`."""

    in_progress_timeout_in_minutes: int | None = None


class RateIncrease(_Settings, frozen=True):
    """`rateIncreaseCriteria`: one of the two."""

    number_of_notified_things: int | None = None
    number_of_succeeded_things: int | None = None


class ExponentialRate(_Settings, frozen=True):
    """`exponentialRate`."""

    base_rate_per_minute: int
    increment_factor: float
    rate_increase_criteria: RateIncrease


class Rollout(_Settings, frozen=True):
    """`jobExecutionsRolloutConfig`."""

    maximum_per_minute: int | None = None
    exponential_rate: ExponentialRate | None = None

    def rate_per_minute(self, notified: int, succeeded: int) -> int:
        """How many things get an execution in the coming minute.

        Args:
            notified: Things that got one so far.
            succeeded: Executions that succeeded so far.
        """
        highest = self.maximum_per_minute or ROLLOUT_PER_MINUTE_MAX
        growth = self.exponential_rate
        if growth is None:
            return highest
        criteria = growth.rate_increase_criteria
        steps = (
            notified // criteria.number_of_notified_things
            if criteria.number_of_notified_things
            else succeeded // (criteria.number_of_succeeded_things or 1)
        )
        rate = float(growth.base_rate_per_minute)
        while steps > 0 and rate < highest:
            rate *= growth.increment_factor
            steps -= 1
        return min(highest, int(rate))


class AbortCriterion(_Settings, frozen=True):
    """One of `abortConfig.criteriaList`."""

    failure_type: FailureType
    action: Literal["CANCEL"]
    threshold_percentage: float
    min_number_of_executed_things: int


class Abort(_Settings, frozen=True):
    """`abortConfig`."""

    criteria_list: tuple[AbortCriterion, ...]

    def cause(self, count: Callable[[Sequence[str]], int]) -> str | None:
        """Why the job must be canceled, or None.

        A thing has executed once its execution ended in SUCCEEDED, FAILED, REJECTED or TIMED_OUT.

        Args:
            count: Number of executions in any of the given states.
        """
        executed = count(("SUCCEEDED", *_FAILURES))
        for criterion in self.criteria_list:
            kind = criterion.failure_type
            failed = count(_FAILURES if kind == "ALL" else (kind,))
            if (
                executed >= criterion.min_number_of_executed_things
                and failed * 100 >= criterion.threshold_percentage * executed
            ):
                return (
                    f"Abort criteria for failure type {kind} with threshold "
                    f"{criterion.threshold_percentage:.2f}% met. "
                    f"Total completed executions: {executed}, total {kind} executions: {failed}"
                )
        return None


class RetryCriterion(_Settings, frozen=True):
    """One of `jobExecutionsRetryConfig.criteriaList`."""

    failure_type: Literal["FAILED", "TIMED_OUT", "ALL"]
    number_of_retries: int


class Retry(_Settings, frozen=True):
    """`jobExecutionsRetryConfig`."""

    criteria_list: tuple[RetryCriterion, ...]

    def allows(self, failures: Sequence[str]) -> bool:
        """Whether one more attempt follows.

        Args:
            failures: How the attempts so far ended, the last one included; at least one.
        """
        if failures[-1] not in {"FAILED", "TIMED_OUT"}:
            return False
        for criterion in self.criteria_list:
            if criterion.failure_type == "ALL":
                return len(failures) <= criterion.number_of_retries
            if criterion.failure_type == failures[-1]:
                return list(failures).count(failures[-1]) <= criterion.number_of_retries
        return False


class Schedule(_Settings, frozen=True):
    """`schedulingConfig`. Times are `YYYY-MM-DDThh:mm` in UTC; maintenance windows are refused."""

    start_time: str | None = None
    end_time: str | None = None
    end_behavior: Ending | None = None

    @property
    def start_s(self) -> float | None:
        """Unix time of the start."""
        return None if self.start_time is None else _unix_s(self.start_time)

    @property
    def end_s(self) -> float | None:
        """Unix time of the end."""
        return None if self.end_time is None else _unix_s(self.end_time)


class Presigning(_Settings, frozen=True):
    """`presignedUrlConfig`."""

    role_arn: str | None = None
    expires_in_sec: int | None = None


class Settings(_Settings, frozen=True):
    """All of them, as CreateJob names them."""

    timeout_config: Timeout = Timeout()
    job_executions_rollout_config: Rollout = Rollout()
    abort_config: Abort | None = None
    job_executions_retry_config: Retry | None = None
    scheduling_config: Schedule = Schedule()
    presigned_url_config: Presigning = Presigning()


def read_settings(members: JobMembers, before: Settings, unix_s: float) -> Settings:
    """The settings of a CreateJob or UpdateJob request.

    Args:
        members: The request.
        before: What holds for members that are absent.
        unix_s: The time now.

    Raises:
        ServiceFailure: InvalidRequestException: a member is wrong or breaks a limit.
    """
    readers: dict[str, tuple[str, Callable[[JobMembers], Any]]] = {
        "timeoutConfig": ("timeout_config", _read_timeout),
        "jobExecutionsRolloutConfig": ("job_executions_rollout_config", _read_rollout),
        "abortConfig": ("abort_config", _read_abort),
        "jobExecutionsRetryConfig": ("job_executions_retry_config", _read_retry),
        "presignedUrlConfig": ("presigned_url_config", _read_presigning),
        "schedulingConfig": ("scheduling_config", lambda inner: _read_schedule(inner, unix_s)),
    }
    changes = {
        attribute: read(members.within(name))
        for name, (attribute, read) in readers.items()
        if name in members
    }
    return msgspec.structs.replace(before, **changes)


def _read_timeout(members: JobMembers) -> Timeout:
    return Timeout(members.integer("inProgressTimeoutInMinutes", 1, TIMEOUT_MINUTES_MAX))


def _read_rollout(members: JobMembers) -> Rollout:
    highest = members.integer("maximumPerMinute", 1, ROLLOUT_PER_MINUTE_MAX)
    if "exponentialRate" not in members:
        return Rollout(highest)
    if highest is None:
        raise members.failure("Provide MaximumPerMinute value when ExponentialRate is defined")
    growth = members.within("exponentialRate")
    criteria = growth.within("rateIncreaseCriteria")
    increase = RateIncrease(
        criteria.integer("numberOfNotifiedThings", 1, _THINGS_MAX),
        criteria.integer("numberOfSucceededThings", 1, _THINGS_MAX),
    )
    notified, succeeded = increase.number_of_notified_things, increase.number_of_succeeded_things
    if (notified is None) == (succeeded is None):
        raise members.failure(
            "Provide exactly one of NumberOfNotifiedThings and NumberOfSucceededThings when "
            "RateIncreaseCriteria is defined"
        )
    base = growth.required_integer("baseRatePerMinute", 1, ROLLOUT_PER_MINUTE_MAX)
    if base >= highest:
        raise members.failure(
            "Exponential rollout baseRatePerMinute should be less than maximumPerMinute"
        )
    factor = growth.required_number("incrementFactor", 1.1, 5)
    return Rollout(highest, ExponentialRate(base, factor, increase))


def _read_abort(members: JobMembers) -> Abort:
    criteria = [
        AbortCriterion(
            one.required_choice("failureType", ("FAILED", "REJECTED", "TIMED_OUT", "ALL")),
            one.required_choice("action", ("CANCEL",)),
            one.required_number("thresholdPercentage", 0, 100),
            one.required_integer("minNumberOfExecutedThings", 1, _THINGS_MAX),
        )
        for one in _criteria(members, 4)
    ]
    if len({one.failure_type for one in criteria}) < len(criteria):
        raise members.failure("Multiple AbortCriteria cannot have the same failure type")
    return Abort(tuple(criteria))


def _read_retry(members: JobMembers) -> Retry:
    criteria = [
        RetryCriterion(
            one.required_choice("failureType", ("FAILED", "TIMED_OUT", "ALL")),
            one.required_integer("numberOfRetries", 0, RETRIES_MAX),
        )
        for one in _criteria(members, 2)
    ]
    kinds = [one.failure_type for one in criteria]
    if "ALL" in kinds and len(kinds) > 1:
        raise members.failure("A retryCriteria with failure type ALL must be used by itself.")
    if len(set(kinds)) < len(kinds):
        raise members.failure("Multiple RetryCriteria cannot have the same failure type")
    if sum(one.number_of_retries for one in criteria) > RETRIES_MAX:
        raise members.failure(f"No more than {RETRIES_MAX} retries are allowed in total")
    return Retry(tuple(criteria))


def _read_presigning(members: JobMembers) -> Presigning:
    return Presigning(
        members.text("roleArn", pattern=r".{20,2048}"),
        members.integer("expiresInSec", 60, 3_600),
    )


def _read_schedule(members: JobMembers, unix_s: float) -> Schedule:
    if members.mappings("maintenanceWindows"):
        raise members.failure("maintenanceWindows are not served here")
    schedule = Schedule(
        _read_time(members, "startTime"),
        _read_time(members, "endTime"),
        _ENDINGS.get(members.choice("endBehavior", tuple(_ENDINGS)) or ""),
    )
    start_s, end_s = schedule.start_s, schedule.end_s
    if start_s is not None and not unix_s + _LEAD_S <= start_s <= unix_s + _START_AHEAD_S:
        raise members.failure("startTime must be from 30 minutes to one year ahead")
    if end_s is not None and not unix_s + _LEAD_S <= end_s <= unix_s + _END_AHEAD_S:
        raise members.failure("endTime must be from 30 minutes to two years ahead")
    if start_s is not None and end_s is not None and end_s < start_s + _LEAD_S:
        raise members.failure("endTime must be at least 30 minutes after startTime")
    if schedule.end_behavior is not None and end_s is None:
        raise members.failure("endBehavior cannot be used without endTime")
    return schedule


_ENDINGS: Final[dict[str, Ending]] = {
    "STOP_ROLLOUT": "STOP_ROLLOUT",
    "CANCEL": "CANCEL",
    "FORCE_CANCEL": "FORCE_CANCEL",
}
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M"


def _unix_s(text: str) -> float:
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()


def _read_time(members: JobMembers, name: str) -> str | None:
    text = members.text(name, longest=64)
    if text is None:
        return None
    try:
        _unix_s(text)
    except (ValueError, OverflowError) as error:
        raise members.failure(
            f"Provided time {text} UTC must follow the format YYYY-MM-DDThh:mm."
        ) from error
    return text


def _criteria(members: JobMembers, most: int) -> list[JobMembers]:
    given = members.each("criteriaList")
    if not 1 <= len(given) <= most:
        raise members.failure(f"criteriaList must have 1 to {most} entries")
    return given
