"""The rules of AWS IoT Jobs: rollout, completion, abort, retry, time-outs, schedule, membership.

Owns everything that follows from something else: what a device's report, a cancellation, a timer or
a change of a thing group leads to (developer guide, "Jobs and job execution states" and "How job
configurations work"). Knows nothing about requests and answers.

What AWS does not say and was chosen here: a rollout comes in one batch a minute, the first at once;
a retry is queued at once; the things of a scheduled SNAPSHOT job are those of its start; deletion
and cancellation take no time; a deleted thing's pending executions become REMOVED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulator.iotcore.services.jobs_documents import TARGETS_MAX, read_target
from simulator.iotcore.services.jobs_ledger import EXECUTIONS_MAX, JOBS_MAX, Ledger, Timer
from simulator.iotcore.services.jobs_records import MINUTE_S, JobStatus, Selection, Status
from simulator.iotcore.services.jobs_requests import (
    invalid,
    limit_exceeded,
    target_not_found,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulator.iotcore.services.jobs_records import Execution, Job

CONCURRENT_JOBS_MAX: Final = 500
"""Jobs whose rollout is under way; AWS IoT Device Management quota."""

ABORTED: Final = "ABORT_CANCEL"
"""`reasonCode` of a job that its abort configuration canceled."""


class Lifecycle:
    """What happens to jobs.

    Args:
        resolve: Gives the things a target ARN stands for, or None when there is no such target.

    Attributes:
        ledger: The records; replaced as a whole by `JobsService.load`.
    """

    def __init__(self, resolve: Callable[[str], Iterable[str] | None]) -> None:
        self.ledger = Ledger()
        self._resolve = resolve

    # Jobs

    def create(self, job: Job, unix_s: float) -> None:
        """Start a new job, or schedule it.

        Raises:
            JobsFailure: A target does not exist, or a quota is used up.
        """
        things = self._things(job.targets)
        if len(self.ledger.jobs) >= JOBS_MAX:
            raise limit_exceeded(f"there are {JOBS_MAX} jobs already")
        if self.ledger.execution_count + len(things) > EXECUTIONS_MAX:
            raise limit_exceeded(f"there would be more than {EXECUTIONS_MAX} job executions")
        if sum(1 for one in self.ledger.jobs.values() if one.waiting) >= CONCURRENT_JOBS_MAX:
            raise limit_exceeded(f"{CONCURRENT_JOBS_MAX} jobs are being rolled out already")
        self.ledger.add_job(job)
        start_s = job.settings.scheduling_config.start_s
        if start_s is not None and start_s > unix_s:
            job.status = JobStatus.SCHEDULED
            self.ledger.set_job_timers(job)
            return
        self._start(job, things, unix_s)

    def cancel(
        self,
        job: Job,
        unix_s: float,
        *,
        force: bool,
        reason_code: str | None = None,
        comment: str | None = None,
    ) -> None:
        """Cancel a job: what waits and is queued, with force also what is in progress.

        Raises:
            JobsFailure: It has ended already.
        """
        if not job.is_open:
            raise invalid(f"Job {job.job_id} is in status {job.status} and cannot be canceled")
        job.reason_code, job.comment, job.force_canceled = reason_code, comment, force
        job.updated_at_s = unix_s
        self.ledger.happened(job, "cancellation_in_progress")
        job.waiting, job.release_at_s = [], None
        job.status, job.completed_at_s = JobStatus.CANCELED, unix_s
        self.ledger.set_job_timers(job)
        for execution in list(self.ledger.executions_of_job(job.job_id)):
            if execution.status is Status.QUEUED or (
                force and execution.status is Status.IN_PROGRESS
            ):
                self._cancel(execution, unix_s, force=force)
        self.ledger.happened(job, "canceled")

    def delete(self, job: Job, unix_s: float) -> None:
        """Forget a job and its executions."""
        job.updated_at_s = unix_s
        self.ledger.happened(job, "deletion_in_progress")
        for execution in list(self.ledger.executions_of_job(job.job_id)):
            self.ledger.happened(job, "deleted", execution)
        self.ledger.drop_job(job)
        self.ledger.happened(job, "deleted")

    def associate(
        self, job: Job, targets: Sequence[str], comment: str | None, unix_s: float
    ) -> None:
        """Add targets to a CONTINUOUS job.

        Raises:
            JobsFailure: It is of another kind or has ended, a target does not exist, or there
                would be more than 100.
        """
        if job.selection is not Selection.CONTINUOUS or job.status is not JobStatus.IN_PROGRESS:
            raise invalid(f"Job {job.job_id} is not a continuous job in progress")
        merged = list(dict.fromkeys((*job.targets, *targets)))
        if len(merged) > TARGETS_MAX:
            raise limit_exceeded(f"a job has at most {TARGETS_MAX} targets")
        self._things(targets)
        job.targets = merged
        job.comment = comment if comment is not None else job.comment
        job.updated_at_s = unix_s
        self._follow(job, unix_s)

    # Executions

    def start_next(
        self, thing: str, details: dict[str, str] | None, step_minutes: int | None, unix_s: float
    ) -> Execution | None:
        """Give a thing its next execution; one that is in progress already stays as it is."""
        execution = self.ledger.first_pending(thing)
        if execution is not None and execution.status is Status.QUEUED:
            self.ledger.move(execution, Status.IN_PROGRESS, unix_s, details, step_minutes)
        return execution

    def report(
        self,
        execution: Execution,
        status: Status,
        details: dict[str, str] | None,
        step_minutes: int | None,
        unix_s: float,
    ) -> None:
        """Take what a device says about an execution.

        Raises:
            ValueError: The state machine has no such edge.
        """
        self.ledger.move(execution, status, unix_s, details, step_minutes)
        self._settle(execution, unix_s)

    def cancel_execution(
        self, execution: Execution, details: dict[str, str] | None, unix_s: float, *, force: bool
    ) -> None:
        """Cancel one pending execution."""
        self._cancel(execution, unix_s, force=force, details=details)
        self._complete(self.ledger.jobs[execution.job_id], unix_s)

    def delete_execution(self, execution: Execution, unix_s: float) -> None:
        """Forget one execution."""
        job = self.ledger.jobs[execution.job_id]
        self.ledger.happened(job, "deleted", execution)
        self.ledger.drop_execution(execution)
        self._complete(job, unix_s)

    # What happens elsewhere

    def groups_changed(self, unix_s: float) -> None:
        """Look up the targets of all CONTINUOUS jobs again."""
        for job in self.ledger.continuous_jobs():
            if not job.has_ended:
                self._follow(job, unix_s)

    def thing_deleted(self, thing: str, unix_s: float) -> None:
        """Remove what a thing had pending, also where a rollout has not reached it."""
        for execution in self.ledger.pending(thing):
            self.ledger.move(execution, Status.REMOVED, unix_s)
            self._settle(execution, unix_s)
        for job in list(self.ledger.jobs.values()):
            job.members.discard(thing)
            if thing in job.waiting:
                job.waiting.remove(thing)
                self._complete(job, unix_s)

    def advance(self, unix_s: float) -> None:
        """Do everything that is due."""
        for timer in self.ledger.deadlines.due(unix_s):
            self._fire(timer, unix_s)

    def _fire(self, timer: Timer, unix_s: float) -> None:
        kind, job_id, thing = timer
        job = self.ledger.jobs[job_id]
        if kind == "timeout":
            execution = self.ledger.execution(job_id, thing)
            if execution is not None and execution.status is Status.IN_PROGRESS:
                self.ledger.move(execution, Status.TIMED_OUT, unix_s)
                self._settle(execution, unix_s)
        elif kind == "release":
            self._release(job, unix_s)
            self._complete(job, unix_s)
        elif kind == "start":
            self._start(job, self._things(job.targets, skip_unknown=True), unix_s)
        else:
            self._end(job, unix_s)

    def _start(self, job: Job, things: Sequence[str], unix_s: float) -> None:
        job.status = JobStatus.IN_PROGRESS
        job.waiting = list(things)
        if job.selection is Selection.CONTINUOUS:
            job.members = set(things)
        self._release(job, unix_s)
        self._complete(job, unix_s)

    def _release(self, job: Job, unix_s: float) -> None:
        """Give the next batch of things an execution."""
        rate = job.settings.job_executions_rollout_config.rate_per_minute(
            job.released, job.count(Status.SUCCEEDED)
        )
        batch, job.waiting = job.waiting[:rate], job.waiting[rate:]
        for thing in batch:
            self.ledger.queue(job, thing, unix_s)
        job.released += len(batch)
        job.release_at_s = unix_s + MINUTE_S if job.waiting else None
        self.ledger.set_job_timers(job)

    def _end(self, job: Job, unix_s: float) -> None:
        """The end of the schedule has come."""
        job.has_ended = True
        behavior = job.settings.scheduling_config.end_behavior
        if behavior in {"CANCEL", "FORCE_CANCEL"}:
            self.cancel(job, unix_s, force=behavior == "FORCE_CANCEL")
            return
        job.waiting, job.release_at_s = [], None
        self.ledger.set_job_timers(job)
        self._complete(job, unix_s)

    def _follow(self, job: Job, unix_s: float) -> None:
        """Give executions to the things that joined, take queued ones from those that left."""
        things = self._things(job.targets, skip_unknown=True)
        left = job.members.difference(things)
        job.waiting = [thing for thing in job.waiting if thing not in left]
        for thing in sorted(left):
            execution = self.ledger.execution(job.job_id, thing)
            if execution is not None and execution.status is Status.QUEUED:
                self.ledger.move(execution, Status.REMOVED, unix_s)
                self._settle(execution, unix_s)
        for thing in things:
            last = self.ledger.execution(job.job_id, thing)
            if thing not in job.members and (last is None or not last.is_pending):
                self.ledger.queue(job, thing, unix_s)
        job.members = set(things)

    def _settle(self, execution: Execution, unix_s: float) -> None:
        """What follows from the end of an execution."""
        if execution.is_pending:
            return
        job = self.ledger.jobs[execution.job_id]
        self.ledger.happened(job, execution.status.lower(), execution)
        abort = job.settings.abort_config
        if job.status is JobStatus.IN_PROGRESS and abort is not None:
            cause = abort.cause(lambda statuses: job.count(*map(Status, statuses)))
            if cause is not None:
                self.cancel(job, unix_s, force=False, reason_code=ABORTED, comment=cause)
        if job.status is JobStatus.IN_PROGRESS and self._may_retry(job, execution):
            self.ledger.queue(job, execution.thing, unix_s, execution.retry_attempt + 1)
        self._complete(job, unix_s)

    def _may_retry(self, job: Job, execution: Execution) -> bool:
        retry = job.settings.job_executions_retry_config
        if retry is None or (
            job.selection is Selection.CONTINUOUS and execution.thing not in job.members
        ):
            return False
        attempts = self.ledger.attempts(job.job_id, execution.thing)
        series = attempts[-execution.retry_attempt - 1 :]
        return retry.allows([one.status.value for one in series])

    def _complete(self, job: Job, unix_s: float) -> None:
        """Complete a job that has nothing left to do."""
        if (
            job.status is not JobStatus.IN_PROGRESS
            or job.waiting
            or job.count(Status.QUEUED, Status.IN_PROGRESS)
            or (job.selection is Selection.CONTINUOUS and not job.has_ended)
        ):
            return
        job.status = JobStatus.COMPLETED
        job.updated_at_s = job.completed_at_s = unix_s
        self.ledger.set_job_timers(job)
        self.ledger.happened(job, "completed")

    def _cancel(
        self,
        execution: Execution,
        unix_s: float,
        *,
        force: bool,
        details: dict[str, str] | None = None,
    ) -> None:
        self.ledger.move(execution, Status.CANCELED, unix_s, details)
        execution.force_canceled = force
        self.ledger.happened(self.ledger.jobs[execution.job_id], "canceled", execution)

    def _things(self, targets: Sequence[str], *, skip_unknown: bool = False) -> list[str]:
        """The things of targets, each once, in order.

        Raises:
            JobsFailure: A target is no ARN of a thing or thing group, or does not exist.
        """
        things: dict[str, None] = {}
        for arn in targets:
            target = read_target(arn)
            names = self._resolve(arn)
            if names is None and not skip_unknown:
                kind = "Thing Group" if target.is_group else "Thing"
                raise target_not_found(kind, target.name)
            things.update(dict.fromkeys(names or ()))
        return list(things)
