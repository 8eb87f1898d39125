"""The control plane of one account: every operation of the `iot` API on its registry, by name.

Puts the parts together and owns nothing itself. Jobs, commands, provisioning templates and streams
are operations of their services; who serves HTTP mounts both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.iotcore.control.attachments import Attachments
from simulator.iotcore.control.authorities import Authorities
from simulator.iotcore.control.authorizers import Authorizers
from simulator.iotcore.control.certificates import Certificates
from simulator.iotcore.control.evaluation import Evaluation
from simulator.iotcore.control.names import Names
from simulator.iotcore.control.policies import PolicyCatalogue
from simulator.iotcore.control.resources import Resources
from simulator.iotcore.control.role_aliases import RoleAliases
from simulator.iotcore.control.settings import Settings
from simulator.iotcore.control.tags import Tags
from simulator.iotcore.control.thing_groups import ThingGroups
from simulator.iotcore.control.thing_types import ThingTypes
from simulator.iotcore.control.things import Things

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.control.authorities import JustInTimeAuthorities
    from simulator.iotcore.control.operation import Operation
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.services.provisioning_authority import CertificateAuthority


def _no_answers(*_arguments: Any) -> Sequence[Answer]:
    return ()


class ControlPlane:
    """The operations of the `iot` API on one registry.

    Args:
        registry: What is shown and changed.
        authority: Makes the certificates of CreateKeysAndCertificate and CreateCertificateFromCsr.
        account: Whose ARNs these are.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
        new_id: Makes registration codes; must not be guessable.
        endpoints: Answers of DescribeEndpoint by `endpointType`, such as `iot:Data-ATS`.
        just_in_time: Is told of CAs with automatic registration.
        template_body: Body in force of a provisioning template of this name, or None.
        thing_deleted: Called with (thing name, now_s) after DeleteThing; gives what to publish.
        groups_changed: Called with (now_s) after any change of memberships or of the hierarchy.
        events_changed: Called with the event types and whether each is on, after
            UpdateEventConfigurations and after `apply_events`.
    """

    def __init__(
        self,
        registry: Registry,
        authority: CertificateAuthority,
        *,
        account: Account,
        unix_s_at_zero: float,
        new_id: Callable[[], str],
        endpoints: Mapping[str, str] | None = None,
        just_in_time: JustInTimeAuthorities | None = None,
        template_body: Callable[[str], str | None] = lambda _name: None,
        thing_deleted: Callable[[str, float], Sequence[Answer]] = _no_answers,
        groups_changed: Callable[[float], Sequence[Answer]] = _no_answers,
        events_changed: Callable[[Mapping[str, bool]], None] = lambda _events: None,
    ) -> None:
        names = Names(account)
        tags = Tags(registry, names)
        resources = Resources(registry, names, tags, unix_s_at_zero)
        self._settings = Settings(resources, endpoints or {}, events_changed)
        parts = (
            Things(resources, thing_deleted),
            ThingTypes(resources),
            ThingGroups(resources, groups_changed),
            Certificates(resources, authority),
            Authorities(resources, new_id, just_in_time, template_body),
            PolicyCatalogue(resources),
            Attachments(resources),
            Evaluation(resources),
            RoleAliases(resources),
            Authorizers(resources),
            tags,
            self._settings,
        )
        self._operations: dict[str, Operation] = {}
        for part in parts:
            self._operations |= part.operations()

    def operations(self) -> dict[str, Operation]:
        """Every operation by AWS's name: called with (request, now_s), gives (result, answers).

        A refused request raises `ServiceFailure`; one of `control.failures.AlreadyExists` has
        members of its own beside the message.
        """
        return dict(self._operations)

    def apply_events(self) -> None:
        """Tell the services which events are on, after the registry was loaded."""
        self._settings.apply_events()
