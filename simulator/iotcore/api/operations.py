"""The table of what is served: an operation's name to what does it.

Joins the services of a `Cloud`, the control plane on its registry and the broker's data plane, with
the quotas each request counts against. Knows nothing about HTTP.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.iotcore.api.data_plane import Confirmation, DataPlane
from simulator.iotcore.api.model import CONTROL, DATA, JOBS_DATA
from simulator.iotcore.api.rates import claims_of
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.api.rates import Claims
    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.cloud import Cloud

    Request = dict[str, Any]
    Outcome = tuple[dict[str, Any], Sequence[Answer]] | Confirmation
    Handler = Callable[[Request, float], Outcome]
    ReadObject = Callable[[str, str], bytes | None]


class Served(NamedTuple):
    """An operation that is served.

    Attributes:
        handle: Does it: called with the request and the broker's clock.
        claims: The quotas a request counts against.
    """

    handle: Handler
    claims: Claims


class Operations:
    """Everything that is served, by service and operation.

    Args:
        cloud: Registry and services.
        broker: Connections and messages.
        limits: Sizes of a message.
        unix_s_at_zero: Unix time when the broker's clock was 0.
        new_id: Makes ids.
        read_object: Gives the bytes of an object of a bucket, or None; for CreateStream.
    """

    def __init__(
        self,
        cloud: Cloud,
        broker: Broker,
        limits: Limits,
        *,
        unix_s_at_zero: float,
        new_id: Callable[[], str],
        read_object: ReadObject,
    ) -> None:
        data = DataPlane(
            broker,
            cloud.registry,
            cloud.desk,
            limits,
            unix_s_at_zero=unix_s_at_zero,
            new_id=new_id,
        )
        handlers: dict[str, Mapping[str, Handler]] = {
            DATA: _data(cloud, data),
            JOBS_DATA: _jobs_data(cloud),
            CONTROL: {
                **cloud.control.operations(),
                **_jobs(cloud),
                **_commands(cloud),
                **_provisioning(cloud),
                **_streams(cloud, read_object),
            },
        }
        self._served = {
            (service, name): Served(handler, claims_of(service, name))
            for service, operations in handlers.items()
            for name, handler in operations.items()
        }

    def find(self, service: str, name: str) -> Served | None:
        """An operation, or None when it is not served."""
        return self._served.get((service, name))

    def names(self) -> list[tuple[str, str]]:
        """Service and name of everything that is served, in order."""
        return sorted(self._served)


def _data(cloud: Cloud, data: DataPlane) -> Mapping[str, Handler]:
    shadows = cloud.shadows
    return {
        "DeleteConnection": data.delete_connection,
        "DeleteThingShadow": shadows.delete_thing_shadow,
        "GetConnection": data.get_connection,
        "GetRetainedMessage": data.get_retained_message,
        "GetThingShadow": shadows.get_thing_shadow,
        "ListNamedShadowsForThing": shadows.list_named_shadows_for_thing,
        "ListRetainedMessages": data.list_retained_messages,
        "ListSubscriptions": data.list_subscriptions,
        "Publish": data.publish,
        "SendDirectMessage": data.send_direct_message,
        "UpdateThingShadow": shadows.update_thing_shadow,
    }


def _jobs_data(cloud: Cloud) -> Mapping[str, Handler]:
    jobs = cloud.jobs.data
    return {
        "DescribeJobExecution": jobs.describe_job_execution,
        "GetPendingJobExecutions": jobs.get_pending_job_executions,
        "StartCommandExecution": _in_text(cloud.commands.start_command_execution),
        "StartNextPendingJobExecution": jobs.start_next_pending_job_execution,
        "UpdateJobExecution": jobs.update_job_execution,
    }


def _jobs(cloud: Cloud) -> Mapping[str, Handler]:
    jobs = cloud.jobs.control
    return {
        "AssociateTargetsWithJob": jobs.associate_targets_with_job,
        "CancelJob": jobs.cancel_job,
        "CancelJobExecution": jobs.cancel_job_execution,
        "CreateJob": jobs.create_job,
        "DeleteJob": jobs.delete_job,
        "DeleteJobExecution": jobs.delete_job_execution,
        "DescribeJob": jobs.describe_job,
        "DescribeJobExecution": jobs.describe_job_execution,
        "GetJobDocument": jobs.get_job_document,
        "ListJobExecutionsForJob": jobs.list_job_executions_for_job,
        "ListJobExecutionsForThing": jobs.list_job_executions_for_thing,
        "ListJobs": jobs.list_jobs,
        "UpdateJob": jobs.update_job,
    }


def _commands(cloud: Cloud) -> Mapping[str, Handler]:
    commands = cloud.commands
    handlers: dict[str, Handler] = {
        "CreateCommand": commands.create_command,
        "DeleteCommand": commands.delete_command,
        "DeleteCommandExecution": _timeless(commands.delete_command_execution),
        "GetCommand": _timeless(commands.get_command),
        "GetCommandExecution": _timeless(commands.get_command_execution),
        "ListCommandExecutions": _timeless(commands.list_command_executions),
        "ListCommands": _timeless(commands.list_commands),
        "UpdateCommand": commands.update_command,
    }
    return {name: _in_text(handler) for name, handler in handlers.items()}


def _provisioning(cloud: Cloud) -> Mapping[str, Handler]:
    templates = cloud.provisioning
    return {
        "CreateProvisioningClaim": templates.create_provisioning_claim,
        "CreateProvisioningTemplate": templates.create_provisioning_template,
        "CreateProvisioningTemplateVersion": templates.create_provisioning_template_version,
        "DeleteProvisioningTemplate": _timeless(templates.delete_provisioning_template),
        "DeleteProvisioningTemplateVersion": _timeless(
            templates.delete_provisioning_template_version
        ),
        "DescribeProvisioningTemplate": _timeless(templates.describe_provisioning_template),
        "DescribeProvisioningTemplateVersion": _timeless(
            templates.describe_provisioning_template_version
        ),
        "ListProvisioningTemplates": _timeless(templates.list_provisioning_templates),
        "ListProvisioningTemplateVersions": _timeless(
            templates.list_provisioning_template_versions
        ),
        "UpdateProvisioningTemplate": templates.update_provisioning_template,
    }


def _streams(cloud: Cloud, read_object: ReadObject) -> Mapping[str, Handler]:
    streams = cloud.streams

    def create(request: Request, now_s: float) -> Outcome:
        return streams.create_stream(request, _contents(request, read_object), now_s)

    def update(request: Request, now_s: float) -> Outcome:
        return streams.update_stream(request, _contents(request, read_object), now_s)

    return {
        "CreateStream": create,
        "DeleteStream": _timeless(streams.delete_stream),
        "DescribeStream": _timeless(streams.describe_stream),
        "ListStreams": _timeless(streams.list_streams),
        "UpdateStream": update,
    }


def _contents(request: Request, read_object: ReadObject) -> dict[int, bytes]:
    """The bytes of the files of a stream, by file id."""
    contents: dict[int, bytes] = {}
    for file in request.get("files") or ():
        location = file.get("s3Location") or {}
        bucket, key = location.get("bucket"), location.get("key")
        if bucket is None or key is None:
            raise ServiceFailure(
                "InvalidRequestException", "Every file needs an s3Location with bucket and key"
            )
        content = read_object(bucket, key)
        if content is None:
            raise ServiceFailure(
                "ResourceNotFoundException", f"Object {key} of bucket {bucket} cannot be found", 404
            )
        contents[file.get("fileId")] = content
    return contents


def _timeless(handle: Callable[[Request], Outcome]) -> Handler:
    """An operation that does not ask the time."""
    return lambda request, _now_s: handle(request)


def _in_text(handle: Handler) -> Handler:
    """An operation that takes blobs in base64."""
    return lambda request, now_s: handle(_blobs_as_text(request), now_s)


def _blobs_as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _blobs_as_text(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_blobs_as_text(entry) for entry in value]
    return value
