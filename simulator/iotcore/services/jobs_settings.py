"""How a job runs: time-outs, rollout, abort, retry and schedule, and what each of them decides.

Owns the configuration structures of a job (developer guide, "How job configurations work"; API
reference, CreateJob). Every structure has AWS's member names when it is encoded. Knows nothing
about requests, nor about jobs or executions beyond counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT_MINUTES_MAX: Final = 10_080
ROLLOUT_PER_MINUTE_MAX: Final = 1_000
"""AWS IoT Device Management quota, and what applies without a rollout configuration."""

Ending: TypeAlias = Literal["STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL"]
FailureType: TypeAlias = Literal["FAILED", "REJECTED", "TIMED_OUT", "ALL"]

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M"
_FAILURES: Final = ("FAILED", "REJECTED", "TIMED_OUT")


def unix_s_of(text: str) -> float:
    """Unix time of a time in UTC such as `2026-11-21T08:00`.

    Raises:
        ValueError: The text has another form.
        OverflowError: The time cannot be counted.
    """
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()


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
        return None if self.start_time is None else unix_s_of(self.start_time)

    @property
    def end_s(self) -> float | None:
        """Unix time of the end."""
        return None if self.end_time is None else unix_s_of(self.end_time)


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
