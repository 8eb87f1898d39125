"""ARNs of what the registry holds, and whom a request means by `principal` or `target`.

Source: AWS IoT API reference, AttachPolicy and AttachThingPrincipal (certificate ARN, thing group
ARN, Amazon Cognito identity id). Knows nothing about what exists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from simulator.iotcore.control.failures import invalid
from simulator.iotcore.registry import is_certificate_id

if TYPE_CHECKING:
    from simulator.iotcore.permissions.account import Account

THING_NAME: Final = r"[a-zA-Z0-9:_-]{1,128}"
"""Names of things, thing types and thing groups (`iot` service model)."""

POLICY_NAME: Final = r"[\w+=,.@-]{1,128}"
CERTIFICATE_ID: Final = r"(0x)?[a-fA-F0-9]+"
_IDENTITY: Final = re.compile(r"[a-z0-9-]{1,32}:[0-9a-zA-Z-]{1,64}")


class Target(NamedTuple):
    """What a policy is attached to.

    Attributes:
        name: Certificate id, Cognito identity id, or name of a thing group.
        is_group: Whether it is a thing group.
    """

    name: str
    is_group: bool = False


class Names:
    """ARNs of one account.

    Args:
        account: The account.
    """

    def __init__(self, account: Account) -> None:
        self.account_id = account.account_id
        self._prefix = account.arn_prefix

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource, such as `thing` and a name."""
        return f"{self._prefix}{kind}/{name}"

    def within(self, arn: str) -> tuple[str, str]:
        """Kind and name of a resource of this account.

        Raises:
            ServiceFailure: It is no ARN of this account and Region.
        """
        kind, slash, name = arn.removeprefix(self._prefix).partition("/")
        if not arn.startswith(self._prefix) or not slash or not name:
            raise invalid(f"Invalid ARN {arn[:256]}: expected {self._prefix}<kind>/<name>")
        return kind, name

    def named(self, arn: str, kind: str) -> str:
        """The name in the ARN of a resource of this kind.

        Raises:
            ServiceFailure: It is something else.
        """
        found, name = self.within(arn)
        if found != kind:
            raise invalid(f"{arn[:256]} is not the ARN of a {kind}")
        return name

    def principal(self, text: str) -> str:
        """The certificate id or Cognito identity id that a request names.

        Raises:
            ServiceFailure: It is neither.
        """
        target = self.target(text)
        if target.is_group:
            raise invalid(f"Invalid principal: {text[:256]}")
        return target.name

    def target(self, text: str) -> Target:
        """What a policy is to be attached to.

        Raises:
            ServiceFailure: It is no certificate ARN, thing group ARN or Cognito identity id.
        """
        if _IDENTITY.fullmatch(text):
            return Target(text)
        kind, name = self.within(text)
        if kind == "cert" and is_certificate_id(name.lower()):
            return Target(name.lower())
        if kind == "thinggroup":
            return Target(name, is_group=True)
        raise invalid(f"Invalid principal or target: {text[:256]}")

    def of_principal(self, principal_id: str) -> str:
        """How a principal is shown: a certificate by its ARN, an identity by its id."""
        return self.arn("cert", principal_id) if is_certificate_id(principal_id) else principal_id

    def of_target(self, target: Target) -> str:
        """How a target is shown."""
        return (
            self.arn("thinggroup", target.name)
            if target.is_group
            else self.of_principal(target.name)
        )
