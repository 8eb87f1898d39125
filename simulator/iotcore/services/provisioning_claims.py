"""Provisioning claims: certificates that may do nothing but provision, for five minutes.

Source: AWS IoT API reference, CreateProvisioningClaim; AWS IoT Core developer guide, "Provisioning
by trusted user". AWS keeps claims out of the registry; here they are registered like any other
certificate, with a policy of their own, and deleted when their time is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from simulator.iotcore.deadlines import Deadlines
from simulator.iotcore.permissions.policy import Policy
from simulator.iotcore.services.failures import ServiceFailure

if TYPE_CHECKING:
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.services.members import Result
    from simulator.iotcore.services.provisioning_authority import CertificateAuthority

CLAIM_S: Final = 300
"""How long a claim is valid."""

CLAIMS_MAX: Final = 10_000
"""Claims valid at once. The service model has no exception for a limit, so ThrottlingException."""


class Claim(msgspec.Struct):
    """A claim that is valid."""

    certificate_id: str
    expires_unix_s: float


class Claims:
    """The claims that are valid, at most 10,000.

    Args:
        registry: Where they are registered.
        authority: Makes them.
        arn_prefix: Of the account.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
    """

    def __init__(
        self,
        registry: Registry,
        authority: CertificateAuthority,
        arn_prefix: str,
        unix_s_at_zero: float,
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._arn_prefix = arn_prefix
        self._unix_s_at_zero = unix_s_at_zero
        self._claims: dict[str, Claim] = {}
        self._ends: Deadlines[str] = Deadlines()

    def create(self, template: str, now_s: float) -> Result:
        """A new claim for one template: the result of CreateProvisioningClaim.

        Raises:
            ServiceFailure: ThrottlingException when there are too many.
        """
        if len(self._claims) >= CLAIMS_MAX:
            raise ServiceFailure("ThrottlingException", "Too many claims are valid")
        unix_s = now_s + self._unix_s_at_zero
        issued = self._authority.create(unix_s, CLAIM_S)
        policy = self._policy(template)
        self._registry.register_certificate(
            issued.certificate_id, pem=issued.certificate_pem, unix_s=unix_s
        )
        self._registry.put_policy(policy, unix_s=unix_s)
        self._registry.attach_policy(policy.name, issued.certificate_id)
        self._keep(Claim(issued.certificate_id, unix_s + CLAIM_S))
        return {
            "certificateId": issued.certificate_id,
            "certificatePem": issued.certificate_pem,
            "keyPair": {"PublicKey": issued.public_key_pem, "PrivateKey": issued.private_key_pem},
            "expiration": unix_s + CLAIM_S,
        }

    def advance(self, now_s: float) -> None:
        """Delete the claims whose time is over."""
        for certificate_id in self._ends.due(now_s):
            del self._claims[certificate_id]
            self._registry.delete_certificate(certificate_id)

    @property
    def next_deadline_s(self) -> float | None:
        """When the next claim ends."""
        return self._ends.next_s()

    def dump(self) -> list[Any]:
        """Every claim, as JSON."""
        dumped: list[Any] = msgspec.to_builtins(list(self._claims.values()))
        return dumped

    def load(self, claims: list[Claim]) -> None:
        """Take over what `dump` gave."""
        self._claims, self._ends = {}, Deadlines()
        for claim in claims:
            self._keep(claim)

    def _keep(self, claim: Claim) -> None:
        self._claims[claim.certificate_id] = claim
        self._ends.set(claim.certificate_id, claim.expires_unix_s - self._unix_s_at_zero)

    def _policy(self, template: str) -> Policy:
        topics = ("$aws/certificates/create*", f"$aws/provisioning-templates/{template}/provision*")
        prefix = self._arn_prefix
        statement = [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{prefix}client/*"},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [f"{prefix}topic/{topic}" for topic in topics],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [f"{prefix}topicfilter/{topic}" for topic in topics],
            },
        ]
        return Policy.parse(
            f"provisioning-claim-{template}", {"Version": "2012-10-17", "Statement": statement}
        )
