"""The settings of a job as CreateJob and UpdateJob name them, read and bounded.

Sources: developer guide, "How job configurations work"; API reference, CreateJob. Knows nothing
about what a setting decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.services.jobs_settings import (
    ROLLOUT_PER_MINUTE_MAX,
    TIMEOUT_MINUTES_MAX,
    Abort,
    AbortCriterion,
    ExponentialRate,
    Presigning,
    RateIncrease,
    Retry,
    RetryCriterion,
    Rollout,
    Schedule,
    Timeout,
    unix_s_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.services.jobs_requests import JobMembers
    from simulator.iotcore.services.jobs_settings import Ending, Settings

RETRIES_MAX: Final = 10
_THINGS_MAX: Final = 2**31 - 1
_LEAD_S: Final = 30 * 60
_START_AHEAD_S: Final = 366 * 86_400
_END_AHEAD_S: Final = 2 * 366 * 86_400
_ENDINGS: Final[dict[str, Ending]] = {
    "STOP_ROLLOUT": "STOP_ROLLOUT",
    "CANCEL": "CANCEL",
    "FORCE_CANCEL": "FORCE_CANCEL",
}


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


def _read_time(members: JobMembers, name: str) -> str | None:
    text = members.text(name, longest=64)
    if text is None:
        return None
    try:
        unix_s_of(text)
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
