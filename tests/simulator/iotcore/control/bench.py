"""A control plane with a clock, every call judged by the service model of AWS."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from simulator.iotcore.broker.joints import Answer
from simulator.iotcore.broker.message import Message
from simulator.iotcore.control.plane import ControlPlane
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.registry import Registry
from simulator.iotcore.services.failures import ServiceFailure
from simulator.iotcore.services.provisioning_authority import IssuedCertificate
from tests.simulator.iotcore.services.aws_models import check_failure, check_request, check_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ACCOUNT = Account("ap-northeast-2", "123456789012")
ARN = "arn:aws:iot:ap-northeast-2:123456789012:"
UNIX_S_AT_ZERO = 1_700_000_000.0
START = 1_700_001_000
"""Unix time at which every bench starts."""

COGNITO = "ap-northeast-2:11111111-2222-3333-4444-555555555555"
ALLOW = (
    '{"Version": "2012-10-17",'
    ' "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}'
)


class NoKeys:
    """An authority that needs no keys, for tests of everything but certificates."""

    def __init__(self) -> None:
        self.count = 0

    def create(self, _unix_s: float, _valid_s: float | None = None, /) -> IssuedCertificate:
        """A certificate of nothing."""
        self.count += 1
        return IssuedCertificate(f"{self.count:064x}", "PEM", "KEY", "PUBLIC")

    def sign(self, _request_pem: str, unix_s: float, /) -> IssuedCertificate:
        """The same, without keys."""
        return self.create(unix_s)._replace(private_key_pem=None, public_key_pem=None)


class Bench:
    """One account.

    Attributes:
        now_s: The broker's clock.
        registry: Its registry.
        plane: Its control plane.
        answers: What was to be published.
        events: What `events_changed` was called with last.
    """

    def __init__(
        self, authority: Any = None, *, registry: Registry | None = None, **options: Any
    ) -> None:
        self.now_s = START - UNIX_S_AT_ZERO
        self.registry = registry or Registry(START)
        self.answers: list[Answer] = []
        self.events: Mapping[str, bool] = {}
        ids = itertools.count(1)
        calls: dict[str, Any] = {
            "thing_deleted": lambda thing, now_s: [said(f"deleted/{thing}", now_s)],
            "groups_changed": lambda now_s: [said("groups", now_s)],
            "events_changed": self._remember,
        }
        self.plane = ControlPlane(
            self.registry,
            authority or NoKeys(),
            account=ACCOUNT,
            unix_s_at_zero=UNIX_S_AT_ZERO,
            new_id=lambda: f"id-{next(ids)}",
            **(calls | options),
        )

    def _remember(self, events: Mapping[str, bool]) -> None:
        self.events = events

    def __call__(self, operation: str, **request: Any) -> Any:
        """Call an operation and give what an SDK makes of the result."""
        check_request("iot", operation, request)
        method = self.plane.operations()[operation]
        assert getattr(method, "__name__", "") == xform_name(operation)
        result, answers = method(request, self.now_s)
        self.answers.extend(answers)
        return check_result("iot", operation, result)

    def failure(self, operation: str, **request: Any) -> str:
        """Call an operation that must fail in a way the service model knows; give the code."""
        before = self.registry.dump()
        try:
            self.plane.operations()[operation](request, self.now_s)
        except ServiceFailure as failure:
            check_failure("iot", operation, failure.code, failure.http_status)
            after = self.registry.dump()
            assert {**after, "serial": 0} == {**before, "serial": 0}
            return failure.code
        raise AssertionError(f"{operation} was served")

    def pages(self, operation: str, member: str, size: int, **request: Any) -> list[list[Any]]:
        """Every page of a listing."""
        marked = operation in MARKED
        size_name, token_name = ("pageSize", "marker") if marked else ("maxResults", "nextToken")
        found: list[list[Any]] = []
        token: dict[str, str] = {}
        while True:
            page = self(operation, **request, **{size_name: size}, **token)
            found.append(page[member])
            following = page.get("nextMarker" if marked else "nextToken")
            if following is None:
                return found
            token = {token_name: following}

    def topics(self) -> list[str]:
        """What was to be published since the last look."""
        topics = [answer.message.topic for answer in self.answers]
        self.answers.clear()
        return topics

    def things(self, *names: str) -> None:
        """Create things."""
        for name in names:
            self("CreateThing", thingName=name)

    def certificate(self, *, active: bool = True) -> str:
        """A new certificate: its ARN."""
        arn: str = self("CreateKeysAndCertificate", setAsActive=active)["certificateArn"]
        return arn


MARKED = {
    "ListCertificates",
    "ListCertificatesByCA",
    "ListCACertificates",
    "ListPolicies",
    "ListAttachedPolicies",
    "ListTargetsForPolicy",
    "ListPrincipalPolicies",
    "ListPolicyPrincipals",
    "ListRoleAliases",
    "ListAuthorizers",
}


def said(topic: str, now_s: float) -> Answer:
    """An answer that names what was called."""
    return Answer(Message(topic, b"", 0, now_s))


def id_of(arn: str) -> str:
    """The name at the end of an ARN."""
    return arn.rpartition("/")[2]


def names(rows: Sequence[dict[str, Any]], member: str) -> list[str]:
    """One member of every row."""
    return [row[member] for row in rows]
