"""AWS IoT Jobs: one service behind the reserved topics and two planes of an HTTP API.

Puts the parts together: the rules (`jobs_lifecycle`), the device's topics (`jobs_topics`), the data
plane (`jobs_data`), the control plane (`jobs_control`) and what is published (`jobs_notices`). Owns
nothing of its own but the clock's offset and the state as a document.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from simulator.iotcore.permissions.account import Account
from simulator.iotcore.services.jobs_control import ControlPlane
from simulator.iotcore.services.jobs_data import DataPlane
from simulator.iotcore.services.jobs_documents import URL_EXPIRY_S, document_over_mqtt
from simulator.iotcore.services.jobs_ledger import Ledger
from simulator.iotcore.services.jobs_lifecycle import Lifecycle
from simulator.iotcore.services.jobs_notices import Notices
from simulator.iotcore.services.jobs_topics import DeviceTopics, read_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.message import Message
    from simulator.iotcore.services.jobs_ledger import Snapshot
    from simulator.iotcore.services.jobs_records import Execution


class JobsService:
    """Jobs of one account in one Region. A `Service`.

    Args:
        resolve: Gives the names of the things a target ARN stands for, or None when there is no
            such thing or thing group. Asked at CreateJob, at the start of a scheduled job and by
            `groups_changed`.
        new_id: Makes event ids.
        unix_s_at_zero: Unix time when the broker's clock was 0.
        account: For ARNs.
        job_events: Whether `$aws/events/job/...` are published; AWS has them off by default.
        execution_events: Whether `$aws/events/jobExecution/...` are published; off by default.
        sign: Makes a presigned URL of an object's URL and a validity in seconds. By default the
            URL stays as it is.
        fetch: Gives the text behind a `documentSource`, or None. By default there is none.

    Attributes:
        data: Operations of `iot-jobs-data`.
        control: Job operations of `iot`.
    """

    def __init__(
        self,
        resolve: Callable[[str], Iterable[str] | None],
        *,
        new_id: Callable[[], str],
        unix_s_at_zero: float,
        account: Account | None = None,
        job_events: bool = False,
        execution_events: bool = False,
        sign: Callable[[str, int], str] = lambda url, _expires_s: url,
        fetch: Callable[[str], str | None] = lambda _source: None,
    ) -> None:
        owner = account or Account()

        def arn(resource: str) -> str:
            return f"{owner.arn_prefix}{resource}"

        self._unix_s_at_zero = unix_s_at_zero
        self._sign = sign
        self._lifecycle = Lifecycle(resolve)
        self._notices = Notices(
            new_id,
            arn,
            self._document,
            job_events=job_events,
            execution_events=execution_events,
        )
        self.data = DataPlane(self._lifecycle, self._drain, self._signed, unix_s_at_zero)
        self.control = ControlPlane(self._lifecycle, self._drain, arn, fetch, unix_s_at_zero)
        self._topics = DeviceTopics(self.data, self._document, self._drain, unix_s_at_zero)

    def set_events(self, *, job: bool, execution: bool) -> None:
        """Switch the events of jobs and of executions, as UpdateEventConfigurations does."""
        self._notices.job_events = job
        self._notices.execution_events = execution

    # Service

    def claims(self, topic: str) -> bool:
        """Whether a publish to this topic is a request for Jobs."""
        return read_topic(topic) is not None

    def handle(self, message: Message, client_id: str | None, now_s: float) -> Sequence[Answer]:
        """Serve a device's request. The answer goes to the requester alone."""
        return self._topics.handle(message, client_id, now_s)

    def throttled(self, message: Message, client_id: str | None, now_s: float) -> Sequence[Answer]:
        """Refuse a device's request with RequestThrottled."""
        return self._topics.throttled(message, client_id, now_s)

    def advance(self, now_s: float) -> Sequence[Answer]:
        """Do what became due: time-outs, rollouts, starts and ends of schedules."""
        self._lifecycle.advance(self._unix_s_at_zero + now_s)
        return self._drain(now_s)

    @property
    def next_deadline_s(self) -> float | None:
        """When `advance` has something to do next."""
        at_s = self._lifecycle.ledger.deadlines.next_s()
        return None if at_s is None else at_s - self._unix_s_at_zero

    def dump(self) -> dict[str, Any]:
        """All jobs and executions, as a JSON document."""
        return self._lifecycle.ledger.dump()

    def saved(self) -> Snapshot:
        """The same without a copy: to be encoded before anything changes."""
        return self._lifecycle.ledger.saved()

    def load(self, document: dict[str, Any]) -> None:
        """Take over what `dump` gave. Timers that came due meanwhile fire at the next `advance`.

        Raises:
            ValueError: The document is damaged; nothing has changed.
        """
        self._lifecycle.ledger = Ledger.loaded(document)

    def status(self) -> dict[str, Any]:
        """Jobs by status, and executions."""
        ledger = self._lifecycle.ledger
        return {
            "jobs": len(ledger.jobs),
            "jobs_by_status": dict(Counter(job.status.value for job in ledger.jobs.values())),
            "executions": ledger.execution_count,
        }

    # What happens elsewhere

    def groups_changed(self, now_s: float) -> Sequence[Answer]:
        """Things joined or left thing groups: CONTINUOUS jobs follow."""
        self._lifecycle.groups_changed(self._unix_s_at_zero + now_s)
        return self._drain(now_s)

    def thing_deleted(self, thing: str, now_s: float) -> Sequence[Answer]:
        """A thing is gone: its pending executions become REMOVED."""
        self._lifecycle.thing_deleted(thing, self._unix_s_at_zero + now_s)
        return self._drain(now_s)

    def _drain(self, now_s: float) -> list[Answer]:
        unix_s = self._unix_s_at_zero + now_s
        return self._notices.drain(self._lifecycle.ledger, now_s, unix_s)

    def _document(self, execution: Execution) -> Any:
        job = self._lifecycle.ledger.jobs[execution.job_id]
        return document_over_mqtt(job.document, lambda url: self._signed(execution, url))

    def _signed(self, execution: Execution, url: str) -> str:
        presigning = self._lifecycle.ledger.jobs[execution.job_id].settings.presigned_url_config
        return self._sign(url, presigning.expires_in_sec or URL_EXPIRY_S)
