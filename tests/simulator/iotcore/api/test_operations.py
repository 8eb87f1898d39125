"""Every operation that is served, once, with its request and result held against the model."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.validate import ParamValidator

from certs.authority import create_authority, create_request, new_private_key
from certs.pem import certificate_pem, request_pem
from simulator.iotcore.api.data_plane import Confirmation
from simulator.iotcore.api.model import CONTROL, DATA, JOBS_DATA, Models
from simulator.iotcore.api.operations import Operations
from simulator.iotcore.api.rates import ASSUME_ROLE_CLAIMS
from simulator.iotcore.broker.counters import Cause
from simulator.iotcore.broker.limits import Limits
from simulator.iotcore.services.provisioning_authority import DevelopmentAuthority
from tests.simulator.iotcore.api.conftest import UNIX_S_AT_ZERO, StandIn
from tests.simulator.iotcore.conftest import ALLOW_ALL, ARN

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Models()
POLICY = json.dumps(ALLOW_ALL)
ROLE = "arn:aws:iam::123456789012:role/any-role"
FUNCTION = "arn:aws:lambda:ap-northeast-2:123456789012:function:any"
TEMPLATE = json.dumps(
    {
        "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
            }
        },
    }
)
BEGINNING = datetime(2023, 1, 1, tzinfo=UTC)
CAR, GROUP = f"{ARN}thing/car-1", "yard"


class Caller:
    """Calls operations by name and checks requests and results against the service model."""

    def __init__(self) -> None:
        self.stand_in = StandIn()
        self.operations = Operations(
            self.stand_in.cloud,
            self.stand_in.broker,
            Limits(),
            unix_s_at_zero=UNIX_S_AT_ZERO,
            new_id=lambda: "trace",
            read_object=lambda bucket, key: f"{bucket}/{key}".encode(),
        )
        self.called: set[tuple[str, str]] = set()

    def __call__(self, name: str, service: str = CONTROL, **request: Any) -> dict[str, Any]:
        """The result of an operation."""
        operation = MODELS.operation(service, name)
        if operation.input_shape is not None:
            self.check(f"{name} request", request, operation.input_shape)
        served = self.operations.find(service, name)
        assert served is not None, name
        assert list(served.claims(request)) is not None
        outcome = served.handle(request, self.stand_in.now_s)
        assert not isinstance(outcome, Confirmation)
        result, answers = outcome
        self.stand_in.broker.answer(answers, self.stand_in.now_s)
        if operation.output_shape is None:
            assert set(result) <= {"message", "traceId"}, name
        else:
            self.check(f"{name} result", result, operation.output_shape)
        self.called.add((service, name))
        return result

    @staticmethod
    def check(what: str, value: Any, shape: Any) -> None:
        """Members, their types and what is required, as botocore judges it."""
        report = ParamValidator().validate(value, shape)
        assert not report.has_errors(), f"{what}: {report.generate_report()}"


def registry_day(call: Callable[..., dict[str, Any]]) -> None:
    """Types, things, groups."""
    call("CreateThingType", thingTypeName="truck", tags=[{"Key": "a", "Value": "b"}])
    call("UpdateThingType", thingTypeName="truck")
    call("CreateThing", thingName="car-1", attributePayload={"attributes": {"a": "b"}})
    call("CreateThing", thingName="car-2", thingTypeName="truck")
    call("UpdateThing", thingName="car-1", thingTypeName="truck")
    call("DescribeThing", thingName="car-1")
    call("ListThings", maxResults=1)
    call("ListThingTypes")
    call("DescribeThingType", thingTypeName="truck")
    call("CreateThingGroup", thingGroupName=GROUP)
    call("CreateThingGroup", thingGroupName="inner", parentGroupName=GROUP)
    call(
        "UpdateThingGroup",
        thingGroupName=GROUP,
        thingGroupProperties={"thingGroupDescription": "all of it"},
    )
    call("DescribeThingGroup", thingGroupName="inner")
    call("ListThingGroups")
    call("AddThingToThingGroup", thingGroupName=GROUP, thingName="car-1")
    call("UpdateThingGroupsForThing", thingName="car-2", thingGroupsToAdd=[GROUP])
    call("ListThingsInThingGroup", thingGroupName=GROUP, maxResults=1)
    call("ListThingGroupsForThing", thingName="car-1")
    call("RemoveThingFromThingGroup", thingGroupName=GROUP, thingName="car-2")
    call("DescribeEndpoint", endpointType="iot:Data-ATS")
    call("UpdateEventConfigurations", eventConfigurations={"JOB": {"Enabled": True}})
    call("DescribeEventConfigurations")
    group_arn = f"{ARN}thinggroup/{GROUP}"
    call("TagResource", resourceArn=group_arn, tags=[{"Key": "k", "Value": "v"}])
    call("ListTagsForResource", resourceArn=group_arn)
    call("UntagResource", resourceArn=group_arn, tagKeys=["k"])


def certificates_day(call: Callable[..., dict[str, Any]]) -> None:
    """Certificates in every way, and CAs."""
    certificate_id = call("CreateKeysAndCertificate", setAsActive=True)["certificateId"]
    request = request_pem(create_request("car-2", new_private_key())).decode()
    signed = call("CreateCertificateFromCsr", certificateSigningRequest=request)
    call("UpdateCertificate", certificateId=signed["certificateId"], newStatus="ACTIVE")
    call("UpdateCertificate", certificateId=signed["certificateId"], newStatus="INACTIVE")
    call("DescribeCertificate", certificateId=certificate_id)
    call("ListCertificates", pageSize=1)

    other = create_authority("Another CA", BEGINNING)
    ca_pem = certificate_pem(other.certificate).decode()
    call("GetRegistrationCode")
    ca = call(
        "RegisterCACertificate",
        caCertificate=ca_pem,
        setAsActive=True,
        allowAutoRegistration=True,
        certificateMode="SNI_ONLY",
    )
    ca_id = ca["certificateId"]
    call("UpdateCACertificate", certificateId=ca_id, newAutoRegistrationStatus="DISABLE")
    call("DescribeCACertificate", certificateId=ca_id)
    call("ListCACertificates")
    own = certificate_pem(create_authority("Alone", BEGINNING).certificate).decode()
    call("RegisterCertificateWithoutCA", certificatePem=own, status="ACTIVE")
    leaf = DevelopmentAuthority(other).sign(request, UNIX_S_AT_ZERO)
    registered = call(
        "RegisterCertificate",
        certificatePem=leaf.certificate_pem,
        caCertificatePem=ca_pem,
        status="INACTIVE",
    )
    call("ListCertificatesByCA", caCertificateId=ca_id)
    call("DeleteCertificate", certificateId=registered["certificateId"])
    call("UpdateCACertificate", certificateId=ca_id, newStatus="INACTIVE")
    call("DeleteCACertificate", certificateId=ca_id)
    call("DeleteRegistrationCode")


def policies_day(call: Callable[..., dict[str, Any]]) -> None:
    """Policies, attachments, who may what; role aliases and authorizers."""
    arn = call("CreateKeysAndCertificate", setAsActive=True)["certificateArn"]
    call("CreatePolicy", policyName="drive", policyDocument=POLICY)
    call("CreatePolicyVersion", policyName="drive", policyDocument=POLICY, setAsDefault=True)
    call("SetDefaultPolicyVersion", policyName="drive", policyVersionId="1")
    call("GetPolicy", policyName="drive")
    call("GetPolicyVersion", policyName="drive", policyVersionId="2")
    call("ListPolicies", pageSize=1)
    call("ListPolicyVersions", policyName="drive")
    call("DeletePolicyVersion", policyName="drive", policyVersionId="2")
    call("AttachPolicy", policyName="drive", target=arn)
    call("ListAttachedPolicies", target=arn)
    call("ListTargetsForPolicy", policyName="drive")
    call("AttachThingPrincipal", thingName="car-1", principal=arn)
    call("ListThingPrincipals", thingName="car-1")
    call("ListThingPrincipalsV2", thingName="car-1")
    call("ListPrincipalThings", principal=arn)
    call("ListPrincipalThingsV2", principal=arn)
    call("GetEffectivePolicies", principal=arn)
    call(
        "TestAuthorization",
        principal=arn,
        authInfos=[{"actionType": "PUBLISH", "resources": [f"{ARN}topic/a"]}],
    )
    call("DetachThingPrincipal", thingName="car-1", principal=arn)
    call("DetachPolicy", policyName="drive", target=arn)
    call("AttachPrincipalPolicy", policyName="drive", principal=arn)
    call("ListPrincipalPolicies", principal=arn)
    call("ListPolicyPrincipals", policyName="drive")
    call("DetachPrincipalPolicy", policyName="drive", principal=arn)
    call("DeletePolicy", policyName="drive")

    call("CreateRoleAlias", roleAlias="car", roleArn=ROLE)
    call("UpdateRoleAlias", roleAlias="car", credentialDurationSeconds=900)
    call("DescribeRoleAlias", roleAlias="car")
    call("ListRoleAliases")
    call("DeleteRoleAlias", roleAlias="car")
    call(
        "CreateAuthorizer",
        authorizerName="token",
        authorizerFunctionArn=FUNCTION,
        signingDisabled=True,
        status="ACTIVE",
    )
    call("UpdateAuthorizer", authorizerName="token", enableCachingForHttp=True)
    call("DescribeAuthorizer", authorizerName="token")
    call("ListAuthorizers")
    call("SetDefaultAuthorizer", authorizerName="token")
    call("DescribeDefaultAuthorizer")
    call("ClearDefaultAuthorizer")
    call("UpdateAuthorizer", authorizerName="token", status="INACTIVE")
    call("DeleteAuthorizer", authorizerName="token")


def templates_day(call: Callable[..., dict[str, Any]]) -> None:
    """Provisioning templates and claims; streams."""
    call(
        "CreateProvisioningTemplate",
        templateName="fleet",
        templateBody=TEMPLATE,
        provisioningRoleArn=ROLE,
        enabled=True,
    )
    call("CreateProvisioningTemplateVersion", templateName="fleet", templateBody=TEMPLATE)
    call("DescribeProvisioningTemplateVersion", templateName="fleet", versionId=2)
    call("ListProvisioningTemplateVersions", templateName="fleet")
    call("UpdateProvisioningTemplate", templateName="fleet", description="all cars")
    call("DescribeProvisioningTemplate", templateName="fleet")
    call("ListProvisioningTemplates")
    call("CreateProvisioningClaim", templateName="fleet")
    call("DeleteProvisioningTemplateVersion", templateName="fleet", versionId=2)
    call("DeleteProvisioningTemplate", templateName="fleet")
    files = [{"fileId": 0, "s3Location": {"bucket": "b", "key": "k", "version": "1"}}]
    call("CreateStream", streamId="s", files=files, roleArn=ROLE, description="files")
    call("UpdateStream", streamId="s", files=files)
    call("DescribeStream", streamId="s")
    call("ListStreams")
    call("DeleteStream", streamId="s")


def jobs_day(call: Callable[..., dict[str, Any]], stand_in: StandIn) -> None:
    """Jobs in both planes."""
    call(
        "CreateJob",
        jobId="j",
        targets=[CAR],
        document='{"a":1}',
        description="first",
        jobExecutionsRolloutConfig={"maximumPerMinute": 100},
        timeoutConfig={"inProgressTimeoutInMinutes": 5},
    )
    stand_in.wait(1)
    call("DescribeJob", jobId="j")
    call("GetJobDocument", jobId="j")
    call("ListJobs")
    call("UpdateJob", jobId="j", description="second")
    call("ListJobExecutionsForJob", jobId="j")
    call("ListJobExecutionsForThing", thingName="car-1")
    call("DescribeJobExecution", jobId="j", thingName="car-1")
    call("GetPendingJobExecutions", JOBS_DATA, thingName="car-1")
    call("StartNextPendingJobExecution", JOBS_DATA, thingName="car-1", statusDetails={"a": "b"})
    call("DescribeJobExecution", JOBS_DATA, thingName="car-1", jobId="j", includeJobDocument=True)
    call(
        "UpdateJobExecution",
        JOBS_DATA,
        thingName="car-1",
        jobId="j",
        status="IN_PROGRESS",
        includeJobDocument=True,
        includeJobExecutionState=True,
    )
    call("CancelJobExecution", jobId="j", thingName="car-1", force=True)
    call("DeleteJobExecution", jobId="j", thingName="car-1", executionNumber=1, force=True)
    groups = [f"{ARN}thinggroup/{GROUP}"]
    call("CreateJob", jobId="k", targets=groups, document="{}", targetSelection="CONTINUOUS")
    stand_in.wait(1)
    call("AssociateTargetsWithJob", jobId="k", targets=[f"{ARN}thinggroup/inner"])
    call("CancelJob", jobId="k", force=True)
    call("DeleteJob", jobId="k", force=True)


def commands_day(call: Callable[..., dict[str, Any]]) -> None:
    """Commands and their executions."""
    made = call(
        "CreateCommand",
        commandId="honk",
        namespace="AWS-IoT",
        payload={"content": b"{}", "contentType": "application/json"},
    )
    call("UpdateCommand", commandId="honk", displayName="Honk")
    call("GetCommand", commandId="honk")
    call("ListCommands")
    begun = call("StartCommandExecution", JOBS_DATA, targetArn=CAR, commandArn=made["commandArn"])
    execution = {"executionId": begun["executionId"], "targetArn": CAR}
    call("GetCommandExecution", **execution, includeResult=True)
    call("ListCommandExecutions", targetArn=CAR)
    answer_topic = f"$aws/commands/things/car-1/executions/{begun['executionId']}/response/json"
    call("Publish", DATA, topic=answer_topic, payload=b'{"status":"SUCCEEDED"}')
    call("DeleteCommandExecution", **execution)
    call("DeleteCommand", commandId="honk")


def data_day(call: Callable[..., dict[str, Any]], stand_in: StandIn) -> None:
    """Shadows, messages, connections."""
    body = b'{"state":{"desired":{"a":1}}}'
    call("UpdateThingShadow", DATA, thingName="car-1", payload=body)
    call("UpdateThingShadow", DATA, thingName="car-1", shadowName="doors", payload=body)
    call("GetThingShadow", DATA, thingName="car-1")
    call("ListNamedShadowsForThing", DATA, thingName="car-1")
    call("DeleteThingShadow", DATA, thingName="car-1")
    call("Publish", DATA, topic="a", payload=b"x", retain=True, userProperties=[{"k": "v"}])
    call("GetRetainedMessage", DATA, topic="a")
    call("ListRetainedMessages", DATA)
    stand_in.join("car-1").subscribe("a")
    call("SendDirectMessage", DATA, clientId="car-1", topic="b", payload=b"x")
    call("GetConnection", DATA, clientId="car-1", includeSocketInformation=True)
    call("ListSubscriptions", DATA, clientId="car-1")
    call("DeleteConnection", DATA, clientId="car-1")


def test_every_operation_that_is_served_keeps_to_its_model() -> None:
    """Each is called at least once; members, types and requirements of each result are right."""
    call = Caller()
    registry_day(call)
    certificates_day(call)
    policies_day(call)
    templates_day(call)
    jobs_day(call, call.stand_in)
    commands_day(call)
    data_day(call, call.stand_in)
    call("DeleteThingGroup", thingGroupName="inner")
    call("DeleteThing", thingName="car-2")
    call("UpdateThing", thingName="car-1", removeThingType=True)
    call("DeprecateThingType", thingTypeName="truck")
    call.stand_in.wait(301)
    call("DeleteThingType", thingTypeName="truck")
    assert call.called == set(call.operations.names())


@pytest.mark.parametrize("service", [DATA, JOBS_DATA])
def test_the_data_planes_are_served_whole(service: str) -> None:
    """Nothing of the two data planes is left out."""
    served = {name for owner, name in Caller().operations.names() if owner == service}
    assert served == {operation.name for operation in MODELS if operation.service == service}


def test_every_rate_of_an_operation_is_asked_for() -> None:
    """By an operation that is served, or by the credentials provider."""
    operations = Caller().operations
    request = {"thingName": "car-1", "clientId": "car-1", "topic": "a"}
    claimed = {claim.cause for claim in ASSUME_ROLE_CLAIMS}
    for service, name in operations.names():
        served = operations.find(service, name)
        assert served is not None
        claimed |= {claim.cause for claim in served.claims(request)}
    assert {cause for cause in Cause if cause.is_of_one_operation} <= claimed


def test_the_documentation_lists_what_is_served() -> None:
    """The table has every operation, under its service, and no other."""
    page = Path(__file__).parents[4] / "docs" / "iotcore-aws-api.md"
    rows = re.findall(
        r"^\| `(iot[a-z-]*)` \|[^|]*\|([^|]*)\|$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = [(service, name) for service, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(listed) == Caller().operations.names()
