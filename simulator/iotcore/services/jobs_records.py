"""What AWS IoT Jobs remembers: jobs and their executions, and the state machine of an execution.

Times are Unix seconds, so that records survive a restart. Knows nothing about requests, topics or
how records are found.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from simulator.iotcore.services.jobs_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE_S: Final = 60
STEP_TIMEOUT_OFF: Final = -1
"""`stepTimeoutInMinutes` that takes the step timer away."""


class Status(StrEnum):
    """State of an execution (developer guide, "Jobs and job execution states")."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    REMOVED = "REMOVED"
    CANCELED = "CANCELED"


PENDING: Final = frozenset({Status.QUEUED, Status.IN_PROGRESS})
REPORTABLE: Final = frozenset(
    {Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED, Status.REJECTED}
)
"""What a device may set (developer guide, "UpdateJobExecution")."""

EDGES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.QUEUED: REPORTABLE | {Status.CANCELED, Status.REMOVED},
    Status.IN_PROGRESS: REPORTABLE | {Status.CANCELED, Status.REMOVED, Status.TIMED_OUT},
}
"""Where an execution may go. A device may report an end without reporting the start."""


class JobStatus(StrEnum):
    """State of a job. Deletion takes no time here, so DELETION_IN_PROGRESS is only announced."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class Selection(StrEnum):
    """Whether a job serves the things of its groups at the start only, or later ones as well."""

    SNAPSHOT = "SNAPSHOT"
    CONTINUOUS = "CONTINUOUS"


class Execution(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One attempt of one thing at one job.

    Attributes:
        job_id: Its job.
        thing: Its thing.
        number: 1 for the first of this thing and job; one more for each retry and rejoining.
        sequence: Order of creation among all executions.
        queued_at_s: When it was created.
        updated_at_s: When it changed last.
        status: Its state; changed by `move` alone.
        version: 1 at first, one more with each change.
        started_at_s: When the device reported on it first.
        details: `statusDetails`.
        retry_attempt: 0, or which retry this is.
        force_canceled: Whether it was canceled with force; None when it was not canceled.
        in_progress_until_s: End of the timer of the job's `timeoutConfig`.
        step_until_s: End of the step timer.
    """

    job_id: str
    thing: str
    number: int
    sequence: int
    queued_at_s: float
    updated_at_s: float
    status: Status = Status.QUEUED
    version: int = 1
    started_at_s: float | None = None
    details: dict[str, str] = msgspec.field(default_factory=dict)
    retry_attempt: int = 0
    force_canceled: bool | None = None
    in_progress_until_s: float | None = None
    step_until_s: float | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the device still has to do something about it."""
        return self.status in PENDING

    @property
    def place(self) -> tuple[bool, int]:
        """Sort key among the pending ones of a thing: in progress first, then by age."""
        return (self.status is Status.QUEUED, self.sequence)

    @property
    def deadline_s(self) -> float | None:
        """When it times out: the earlier of its two timers."""
        if self.status is not Status.IN_PROGRESS:
            return None
        ends = [end for end in (self.in_progress_until_s, self.step_until_s) if end is not None]
        return min(ends, default=None)

    def may_become(self, status: Status) -> bool:
        """Whether the state machine has this edge."""
        return status in EDGES.get(self.status, frozenset())

    def move(self, status: Status, unix_s: float) -> None:
        """Take an edge of the state machine.

        Raises:
            ValueError: There is no such edge.
        """
        if not self.may_become(status):
            raise ValueError(f"an execution cannot go from {self.status} to {status}")
        if status in REPORTABLE and self.started_at_s is None:
            self.started_at_s = unix_s
        self.status = status
        self.version += 1
        self.updated_at_s = unix_s
        if status not in PENDING:
            self.in_progress_until_s = self.step_until_s = None

    def set_step_timer(self, minutes: int, unix_s: float) -> None:
        """Start the step timer anew, or take it away with `STEP_TIMEOUT_OFF`."""
        self.step_until_s = None if minutes == STEP_TIMEOUT_OFF else unix_s + minutes * MINUTE_S


class Job(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A job.

    Attributes:
        job_id: Its name.
        sequence: Order of creation among all jobs.
        targets: ARNs of things and thing groups.
        document: The job document as it was given.
        selection: SNAPSHOT or CONTINUOUS.
        created_at_s: When it was created.
        updated_at_s: When it changed last.
        settings: Time-outs, rollout, abort, retry, schedule, URLs.
        status: Its state.
        completed_at_s: When it was completed or canceled.
        description: For people.
        document_source: Where the document came from.
        namespace_id: `namespaceId`.
        package_versions: `destinationPackageVersions`.
        reason_code: Why it was canceled.
        comment: The same in words.
        force_canceled: Whether it was canceled with force; None when it was not canceled.
        waiting: Things that the rollout has not reached, in order.
        released: How many things the rollout has reached.
        release_at_s: When the next ones are due.
        members: Things of a CONTINUOUS job's targets, as last seen.
        has_ended: Whether the end of its schedule has passed.
        counts: Number of its executions by status.
    """

    job_id: str
    sequence: int
    targets: list[str]
    document: str
    selection: Selection
    created_at_s: float
    updated_at_s: float
    settings: Settings = Settings()
    status: JobStatus = JobStatus.IN_PROGRESS
    completed_at_s: float | None = None
    description: str | None = None
    document_source: str | None = None
    namespace_id: str | None = None
    package_versions: list[str] = msgspec.field(default_factory=list)
    reason_code: str | None = None
    comment: str | None = None
    force_canceled: bool | None = None
    waiting: list[str] = msgspec.field(default_factory=list)
    released: int = 0
    release_at_s: float | None = None
    members: set[str] = msgspec.field(default_factory=set)
    has_ended: bool = False
    counts: dict[Status, int] = msgspec.field(default_factory=dict)

    def count(self, *statuses: Status) -> int:
        """How many of its executions are in one of these states."""
        return sum(self.counts.get(status, 0) for status in statuses)

    @property
    def is_open(self) -> bool:
        """Whether it may still hand out executions."""
        return self.status in {JobStatus.IN_PROGRESS, JobStatus.SCHEDULED}
