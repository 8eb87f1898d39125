"""Where AWS IoT Jobs keeps its jobs and executions, and what changed since somebody asked.

Owns the records, their indexes and their timers, and keeps these in step: the pending executions of
a thing, the counts of a job, the deadlines. Notes which things' pending lists changed and what
happened to jobs and executions, for the notifications. Knows no rules about when anything happens.

Bounds: `JOBS_MAX` jobs, `EXECUTIONS_MAX` executions in all, and of each thing and job the latest
`ATTEMPTS_KEPT` executions; older ones are forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from simulator.iotcore.deadlines import Deadlines
from simulator.iotcore.services.jobs_records import (
    MINUTE_S,
    Execution,
    Job,
    JobStatus,
    Selection,
    Status,
)
from simulator.iotcore.services.saved import restored

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS_MAX: Final = 10_000
EXECUTIONS_MAX: Final = 1_000_000
ATTEMPTS_KEPT: Final = 32

Timer: TypeAlias = tuple[str, str, str]
"""What became due (`timeout`, `release`, `start`, `end`), job id, thing name."""

_Key: TypeAlias = tuple[str, int]


class Pending(NamedTuple):
    """What a device can know of its pending executions without asking.

    Attributes:
        members: Job id and execution number of each.
        first: The one `$next` stands for.
    """

    members: frozenset[_Key]
    first: _Key | None


class Happening(NamedTuple):
    """Something a fleet may want to hear about.

    Attributes:
        job: The job.
        operation: What happened, as the last level of the event's topic.
        execution: The execution it happened to, or None when it happened to the job.
    """

    job: Job
    operation: str
    execution: Execution | None = None


class Changes(NamedTuple):
    """What happened since the changes were taken last.

    Attributes:
        before: Things whose pending executions may have changed, and what they were.
        happenings: Everything else, in order.
    """

    before: dict[str, Pending]
    happenings: list[Happening]


class Snapshot(msgspec.Struct, forbid_unknown_fields=True):
    """A ledger as a document."""

    jobs: list[Job]
    executions: list[Execution]
    sequence: int


class Ledger:
    """Jobs and executions of one account in one Region."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.deadlines: Deadlines[Timer] = Deadlines()
        self.execution_count = 0
        self._sequence = 0
        # Executions of a thing and job, oldest first; the last one is the current one.
        self._of_job: dict[str, dict[str, list[Execution]]] = {}
        self._jobs_of_thing: dict[str, dict[str, None]] = {}
        self._pending: dict[str, dict[str, Execution]] = {}
        self._changes = Changes({}, [])

    # Reading

    def attempts(self, job_id: str, thing: str) -> list[Execution]:
        """The executions of a thing and job, oldest first."""
        return self._of_job.get(job_id, {}).get(thing, [])

    def execution(self, job_id: str, thing: str, number: int | None = None) -> Execution | None:
        """The execution with this number, or the latest."""
        attempts = self.attempts(job_id, thing)
        if number is None:
            return attempts[-1] if attempts else None
        return next((one for one in attempts if one.number == number), None)

    def executions_of_job(self, job_id: str) -> Iterator[Execution]:
        """All executions of a job, thing by thing."""
        for attempts in self._of_job.get(job_id, {}).values():
            yield from attempts

    def executions_of_thing(self, thing: str) -> Iterator[Execution]:
        """All executions of a thing, job by job."""
        for job_id in self._jobs_of_thing.get(thing, ()):
            yield from self.attempts(job_id, thing)

    def pending(self, thing: str) -> list[Execution]:
        """The pending executions of a thing, the next one first."""
        return sorted(self._pending.get(thing, {}).values(), key=lambda one: one.place)

    def first_pending(self, thing: str) -> Execution | None:
        """The execution `$next` stands for."""
        return min(self._pending.get(thing, {}).values(), key=lambda one: one.place, default=None)

    def take_changes(self) -> Changes:
        """What happened since the last call."""
        taken, self._changes = self._changes, Changes({}, [])
        return taken

    def pending_view(self, thing: str) -> Pending:
        """The pending executions of a thing, for comparing."""
        executions = self._pending.get(thing, {}).values()
        first = self.first_pending(thing)
        return Pending(
            frozenset((one.job_id, one.number) for one in executions),
            None if first is None else (first.job_id, first.number),
        )

    # Changing

    def next_sequence(self) -> int:
        """A number larger than all before."""
        self._sequence += 1
        return self._sequence

    def happened(self, job: Job, operation: str, execution: Execution | None = None) -> None:
        """Note something for the events."""
        self._changes.happenings.append(Happening(job, operation, execution))

    def add_job(self, job: Job) -> None:
        """Keep a new job."""
        self.jobs[job.job_id] = job
        self._of_job[job.job_id] = {}

    def drop_job(self, job: Job) -> None:
        """Forget a job and all of its executions."""
        for execution in list(self.executions_of_job(job.job_id)):
            self.drop_execution(execution)
        for kind in ("release", "start", "end"):
            self.deadlines.cancel((kind, job.job_id, ""))
        del self.jobs[job.job_id], self._of_job[job.job_id]

    def queue(
        self, job: Job, thing: str, unix_s: float, retry_attempt: int = 0
    ) -> Execution | None:
        """Make the next execution of a thing and job; None when the ledger is full."""
        if self.execution_count >= EXECUTIONS_MAX:
            return None
        last = self.execution(job.job_id, thing)
        execution = Execution(
            job_id=job.job_id,
            thing=thing,
            number=1 if last is None else last.number + 1,
            sequence=self.next_sequence(),
            queued_at_s=unix_s,
            updated_at_s=unix_s,
            retry_attempt=retry_attempt,
        )
        self._touch(thing)
        self._insert(execution)
        self._count(job, Status.QUEUED, 1)
        attempts = self.attempts(job.job_id, thing)
        if len(attempts) > ATTEMPTS_KEPT:
            self.drop_execution(attempts[0])
        return execution

    def move(
        self,
        execution: Execution,
        status: Status,
        unix_s: float,
        details: dict[str, str] | None = None,
        step_minutes: int | None = None,
    ) -> None:
        """Take an execution along an edge of the state machine.

        Args:
            execution: A current execution.
            status: Where it goes.
            unix_s: The time now.
            details: Its new status details; None leaves them.
            step_minutes: New step timer; None leaves it.

        Raises:
            ValueError: There is no such edge.
        """
        job = self.jobs[execution.job_id]
        old = execution.status
        self._touch(execution.thing)
        execution.move(status, unix_s)
        self._count(job, old, -1)
        self._count(job, status, 1)
        if details is not None:
            execution.details = dict(details)
        minutes = job.settings.timeout_config.in_progress_timeout_in_minutes
        if old is Status.QUEUED and status is Status.IN_PROGRESS and minutes is not None:
            execution.in_progress_until_s = unix_s + minutes * MINUTE_S
        if step_minutes is not None and execution.is_pending:
            execution.set_step_timer(step_minutes, unix_s)
        if not execution.is_pending:
            self._unlist(execution)
        self._set_timer(execution)

    def drop_execution(self, execution: Execution) -> None:
        """Forget an execution."""
        job_id, thing = execution.job_id, execution.thing
        if execution.is_pending:
            self._touch(thing)
            self._unlist(execution)
            self.deadlines.cancel(("timeout", job_id, thing))
        attempts = self._of_job[job_id][thing]
        attempts.remove(execution)
        if not attempts:
            del self._of_job[job_id][thing]
            del self._jobs_of_thing[thing][job_id]
            if not self._jobs_of_thing[thing]:
                del self._jobs_of_thing[thing]
        self.execution_count -= 1
        self._count(self.jobs[job_id], execution.status, -1)

    # Keeping

    def dump(self) -> dict[str, Any]:
        """Everything, as a JSON document."""
        encoded = msgspec.json.encode(self.saved(), order="deterministic")
        document: dict[str, Any] = msgspec.json.decode(encoded)
        return document

    def saved(self) -> Snapshot:
        """The same without a copy: to be encoded before anything changes."""
        return Snapshot(
            list(self.jobs.values()),
            [one for job_id in self.jobs for one in self.executions_of_job(job_id)],
            self._sequence,
        )

    @classmethod
    def loaded(cls, document: dict[str, Any]) -> Ledger:
        """The ledger that gave a document.

        Raises:
            ValueError: The document is damaged.
        """
        snapshot = restored(document, Snapshot, "jobs")
        ledger = cls()
        ledger._sequence = snapshot.sequence
        for job in snapshot.jobs:
            if job.job_id in ledger.jobs:
                raise ValueError(f"the job {job.job_id} is there twice")
            job.counts = {}
            ledger.add_job(job)
            ledger.set_job_timers(job)
        for execution in snapshot.executions:
            last = ledger.execution(execution.job_id, execution.thing)
            if execution.job_id not in ledger.jobs:
                raise ValueError(f"an execution of the unknown job {execution.job_id}")
            if last is not None and (last.number >= execution.number or last.is_pending):
                raise ValueError(f"executions of {execution.job_id} are out of order")
            if execution.sequence > snapshot.sequence:
                raise ValueError("an execution is newer than the ledger")
            ledger._insert(execution)
            ledger._count(ledger.jobs[execution.job_id], execution.status, 1)
            ledger._set_timer(execution)
        return ledger

    def set_job_timers(self, job: Job) -> None:
        """Set the timers of a job's schedule and rollout as the job says."""
        schedule = job.settings.scheduling_config
        start_s = schedule.start_s if job.status is JobStatus.SCHEDULED else None
        end_s = schedule.end_s if job.is_open and not job.has_ended else None
        release_at_s = job.release_at_s if job.is_open else None
        for kind, at_s in (("start", start_s), ("end", end_s), ("release", release_at_s)):
            if at_s is None:
                self.deadlines.cancel((kind, job.job_id, ""))
            else:
                self.deadlines.set((kind, job.job_id, ""), at_s)

    def continuous_jobs(self) -> list[Job]:
        """Jobs whose targets may still gain things."""
        return [
            job
            for job in self.jobs.values()
            if job.selection is Selection.CONTINUOUS and job.status is JobStatus.IN_PROGRESS
        ]

    def _insert(self, execution: Execution) -> None:
        job_id, thing = execution.job_id, execution.thing
        self._of_job[job_id].setdefault(thing, []).append(execution)
        self._jobs_of_thing.setdefault(thing, {})[job_id] = None
        if execution.is_pending:
            self._pending.setdefault(thing, {})[job_id] = execution
        self.execution_count += 1

    def _unlist(self, execution: Execution) -> None:
        pending = self._pending[execution.thing]
        del pending[execution.job_id]
        if not pending:
            del self._pending[execution.thing]

    def _touch(self, thing: str) -> None:
        if thing not in self._changes.before:
            self._changes.before[thing] = self.pending_view(thing)

    @staticmethod
    def _count(job: Job, status: Status, step: int) -> None:
        count = job.counts.pop(status, 0) + step
        if count:
            job.counts[status] = count

    def _set_timer(self, execution: Execution) -> None:
        timer = ("timeout", execution.job_id, execution.thing)
        if execution.deadline_s is None:
            self.deadlines.cancel(timer)
        else:
            self.deadlines.set(timer, execution.deadline_s)
