"""The control plane of AWS IoT Jobs: the job operations of the `iot` API.

Owns what each operation checks and answers (API reference and `iot` service model). The rules of
what follows are in `jobs_lifecycle`. Tags are accepted and not kept; job templates, maintenance
windows and document parameters are refused.

What AWS does not say and was chosen here: lists are in order of creation, executions of a job in
order of things; the token of a page is the id of its last entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simulator.iotcore.services.jobs_documents import (
    TARGETS_MAX,
    check_document,
    has_placeholders,
)
from simulator.iotcore.services.jobs_records import Job, JobStatus, Selection, Status
from simulator.iotcore.services.jobs_requests import (
    NUMBER_MAX,
    JobMembers,
    JobsFailure,
    execution_not_found,
    invalid,
    invalid_transition,
    job_not_found,
    version_mismatch,
)
from simulator.iotcore.services.jobs_settings import Settings
from simulator.iotcore.services.jobs_settings_reading import read_settings
from simulator.iotcore.services.jobs_shapes import (
    execution_summary,
    execution_view,
    job_summary,
    job_view,
)
from simulator.iotcore.services.members import without_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.services.jobs_ledger import Ledger
    from simulator.iotcore.services.jobs_lifecycle import Lifecycle
    from simulator.iotcore.services.jobs_records import Execution
    from simulator.iotcore.services.members import Request, Result

PAGE_MAX: Final = 250
_TEXT_MAX: Final = 2_028
_ARN_MAX: Final = 2_048
_STATUSES: Final = (*JobStatus, "DELETION_IN_PROGRESS")
_UPDATABLE: Final = (
    "description",
    "presignedUrlConfig",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
)


class ControlPlane:
    """The job operations of `iot`.

    Every operation takes the request's members by AWS's names and the broker's clock, and gives the
    answer's members and what to publish.

    Args:
        lifecycle: The rules.
        drain: Gives what is to be published after a change.
        arn: Makes the ARN of a resource such as `job/update-1`.
        fetch: Gives the text behind a `documentSource`, or None when there is none.
        unix_s_at_zero: Unix time when the broker's clock was 0.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        drain: Callable[[float], list[Answer]],
        arn: Callable[[str], str],
        fetch: Callable[[str], str | None],
        unix_s_at_zero: float,
    ) -> None:
        self._lifecycle = lifecycle
        self._drain = drain
        self._arn = arn
        self._fetch = fetch
        self._unix_s_at_zero = unix_s_at_zero

    @property
    def _ledger(self) -> Ledger:
        return self._lifecycle.ledger

    # Jobs

    def create_job(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CreateJob."""
        members, unix_s = JobMembers(request), self._unix_s_at_zero + now_s
        job_id = members.job_id()
        targets = _targets(members)
        for name in ("jobTemplateArn", "documentParameters"):
            if name in members:
                raise invalid(f"{name} is not served here")
        selection = members.choice("targetSelection", tuple(Selection), Selection.SNAPSHOT)
        settings = read_settings(members, Settings(), unix_s)
        source = members.text("documentSource", longest=1_350)
        document = self._read_document(members, source)
        if has_placeholders(document) and settings.presigned_url_config.role_arn is None:
            raise invalid(
                f"Role must be provided for pre-sign S3 urls in job document of job {job_id}."
            )
        job = Job(
            job_id=job_id,
            sequence=self._ledger.next_sequence(),
            targets=targets,
            document=document,
            selection=Selection(selection or Selection.SNAPSHOT),
            created_at_s=unix_s,
            updated_at_s=unix_s,
            settings=settings,
            description=_words(members, "description"),
            document_source=source,
            namespace_id=members.text("namespaceId", pattern=r"[a-zA-Z0-9_-]{1,64}"),
            package_versions=members.texts("destinationPackageVersions", longest=1_600),
        )
        if job_id in self._ledger.jobs:
            raise JobsFailure(
                "ResourceAlreadyExistsException",
                f"Job {job_id} already exists",
                409,
                "InvalidRequest",
            )
        self._lifecycle.create(job, unix_s)
        return self._named(job), self._drain(now_s)

    def describe_job(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeJob."""
        job = self._job(JobMembers(request))
        shown = {"job": job_view(job, self._arn(f"job/{job.job_id}"))}
        return without_nulls({"documentSource": job.document_source}) | shown, []

    def get_job_document(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """GetJobDocument."""
        return {"document": self._job(JobMembers(request)).document}, []

    def list_jobs(self, request: Request, _now_s: float) -> tuple[Result, list[Answer]]:
        """ListJobs."""
        members = JobMembers(request)
        status = members.choice("status", _STATUSES)
        selection = members.choice("targetSelection", tuple(Selection))
        group, namespace = members.text("thingGroupName"), members.text("namespaceId")
        jobs = [
            (job.job_id, job_summary(job, self._arn(f"job/{job.job_id}")))
            for job in self._ledger.jobs.values()
            if status in {None, job.status}
            and selection in {None, job.selection}
            and namespace in {None, job.namespace_id}
            and (group is None or self._arn(f"thinggroup/{group}") in job.targets)
        ]
        return _page(members, "jobs", jobs), []

    def update_job(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """UpdateJob. A new time-out holds for executions that start later."""
        members, unix_s = JobMembers(request), self._unix_s_at_zero + now_s
        job_id = members.job_id()
        changes = {name: request[name] for name in _UPDATABLE if name in members}
        if not changes:
            raise invalid(f"Update Job request for job {job_id} cannot be empty.")
        description = _words(members, "description")
        before = self._ledger.jobs.get(job_id)
        settings = read_settings(
            JobMembers(changes), before.settings if before else Settings(), unix_s
        )
        job = self._job(members)
        if not job.is_open:
            raise invalid(f"Job {job_id} in status {job.status} cannot be updated.")
        job.settings, job.updated_at_s = settings, unix_s
        job.description = description if description is not None else job.description
        return {}, []

    def cancel_job(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CancelJob."""
        members = JobMembers(request)
        reason = members.text("reasonCode", pattern=r"[A-Z0-9_]{1,128}")
        comment = _words(members, "comment")
        force = members.flag("force") is True
        job = self._job(members)
        self._lifecycle.cancel(
            job, self._unix_s_at_zero + now_s, force=force, reason_code=reason, comment=comment
        )
        return self._named(job), self._drain(now_s)

    def delete_job(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteJob."""
        members = JobMembers(request)
        force = members.flag("force") is True
        job = self._job(members)
        if job.is_open and not force:
            raise invalid_transition(
                f"Job {job.job_id} has not ended ({job.status}); deleting it needs force"
            )
        self._lifecycle.delete(job, self._unix_s_at_zero + now_s)
        return {}, self._drain(now_s)

    def associate_targets_with_job(
        self, request: Request, now_s: float
    ) -> tuple[Result, list[Answer]]:
        """AssociateTargetsWithJob."""
        members = JobMembers(request)
        targets, comment = _targets(members), _words(members, "comment")
        job = self._job(members)
        self._lifecycle.associate(job, targets, comment, self._unix_s_at_zero + now_s)
        return self._named(job), self._drain(now_s)

    # Executions

    def list_job_executions_for_job(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListJobExecutionsForJob."""
        members = JobMembers(request)
        status = members.choice("status", tuple(Status))
        job = self._job(members)
        rows = [
            (
                f"{one.thing}/{one.number}",
                {
                    "thingArn": self._arn(f"thing/{one.thing}"),
                    "jobExecutionSummary": execution_summary(one),
                },
            )
            for one in self._ledger.executions_of_job(job.job_id)
            if status in {None, one.status}
        ]
        return _page(members, "executionSummaries", rows), []

    def list_job_executions_for_thing(
        self, request: Request, _now_s: float
    ) -> tuple[Result, list[Answer]]:
        """ListJobExecutionsForThing."""
        members = JobMembers(request)
        thing, status = members.thing(), members.choice("status", tuple(Status))
        job_id, namespace = members.text("jobId"), members.text("namespaceId")
        rows = [
            (
                f"{one.job_id}/{one.number}",
                {"jobId": one.job_id, "jobExecutionSummary": execution_summary(one)},
            )
            for one in self._ledger.executions_of_thing(thing)
            if status in {None, one.status}
            and job_id in {None, one.job_id}
            and namespace in {None, self._ledger.jobs[one.job_id].namespace_id}
        ]
        return _page(members, "executionSummaries", rows), []

    def describe_job_execution(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DescribeJobExecution of the control plane, also of executions that have ended."""
        members = JobMembers(request)
        execution = self._execution(members, members.execution_number())
        arn = self._arn(f"thing/{execution.thing}")
        return {"execution": execution_view(execution, arn, self._unix_s_at_zero + now_s)}, []

    def cancel_job_execution(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """CancelJobExecution."""
        members = JobMembers(request)
        force = members.flag("force") is True
        expected, details = members.expected_version(), members.status_details()
        execution = self._execution(members)
        if expected is not None and expected != execution.version:
            raise version_mismatch(expected, execution, code="VersionConflictException")
        if not execution.is_pending:
            raise invalid_transition(
                f"Job execution for thing {execution.thing} within job {execution.job_id} "
                "cannot be canceled."
            )
        if execution.status is Status.IN_PROGRESS and not force:
            raise invalid_transition("the execution has started; canceling it needs force")
        unix_s = self._unix_s_at_zero + now_s
        self._lifecycle.cancel_execution(execution, details, unix_s, force=force)
        return {}, self._drain(now_s)

    def delete_job_execution(self, request: Request, now_s: float) -> tuple[Result, list[Answer]]:
        """DeleteJobExecution."""
        members = JobMembers(request)
        number = members.required_integer("executionNumber", 0, NUMBER_MAX)
        force = members.flag("force") is True
        execution = self._execution(members, number)
        if execution.is_pending and not force:
            raise invalid_transition(
                f"Job execution for thing {execution.thing} within job {execution.job_id} in "
                f"status {execution.status} cannot be deleted without force flag."
            )
        self._lifecycle.delete_execution(execution, self._unix_s_at_zero + now_s)
        return {}, self._drain(now_s)

    def _job(self, members: JobMembers) -> Job:
        job_id = members.job_id()
        job = self._ledger.jobs.get(job_id)
        if job is None:
            raise job_not_found(job_id)
        return job

    def _execution(self, members: JobMembers, number: int | None = None) -> Execution:
        job_id, thing = members.job_id(), members.thing()
        execution = self._ledger.execution(job_id, thing, number)
        if execution is None:
            raise execution_not_found(job_id, thing, job_exists=job_id in self._ledger.jobs)
        return execution

    def _read_document(self, members: JobMembers, source: str | None) -> str:
        document = members.text("document")
        if (document is None) == (source is None):
            raise invalid(
                "a job needs a document or a documentSource"
                if document is None
                else "Job document and job document source cannot be specified at the same time."
            )
        if document is None and source is not None:
            document = self._fetch(source)
            if document is None:
                raise invalid(f"Job document located at {source} is not found.")
        check_document(document or "", source or "request input")
        return document or ""

    def _named(self, job: Job) -> Result:
        return without_nulls(
            {
                "jobArn": self._arn(f"job/{job.job_id}"),
                "jobId": job.job_id,
                "description": job.description,
            }
        )


def _targets(members: JobMembers) -> list[str]:
    targets = members.texts("targets", longest=_ARN_MAX)
    if not targets:
        raise invalid("a job needs at least one target")
    if len(targets) > TARGETS_MAX:
        raise invalid(f"targets must have at most {TARGETS_MAX} entries")
    return targets


def _words(members: JobMembers, name: str) -> str | None:
    return members.text(name, longest=_TEXT_MAX, printable=True)


def _page(members: JobMembers, name: str, rows: list[tuple[str, dict[str, Any]]]) -> Result:
    entries, token = members.page(rows, PAGE_MAX)
    return without_nulls({name: entries, "nextToken": token})
