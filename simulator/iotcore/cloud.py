"""Everything of one AWS account besides its broker: the registry and the services, joined.

Puts the parts together and owns nothing itself. The broker gets `desk`, the HTTP API gets the
services and `control`. No sockets, no clock: time comes with every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.control.plane import ControlPlane
from simulator.iotcore.permissions.account import Account
from simulator.iotcore.services.basic_ingest import BasicIngest
from simulator.iotcore.services.commands import Commands
from simulator.iotcore.services.defender import Defender
from simulator.iotcore.services.desk import ServiceDesk
from simulator.iotcore.services.jobs import JobsService
from simulator.iotcore.services.provisioning import Provisioning
from simulator.iotcore.services.provisioning_just_in_time import JustInTime
from simulator.iotcore.services.registry_events import RegistryEvents
from simulator.iotcore.services.shadow import ShadowService
from simulator.iotcore.services.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from simulator.iotcore.broker.counters import Cause
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.services.provisioning_authority import CertificateAuthority
    from simulator.iotcore.services.shadow_store import ShadowLimits


class Cloud:
    """The registry and the services of one account in one Region.

    Args:
        registry: Certificates, policies, things and groups.
        authority: Makes certificates.
        account: Region and account number in ARNs.
        new_id: Makes ids that cannot be guessed.
        unix_s_at_zero: Unix time when the broker's clock shows zero.
        certificate_of: The certificate id of a connected client; see `Provisioning`.
        shadow_limits: Sizes of shadows, and whether they need a thing.
        endpoints: Answers of DescribeEndpoint by endpoint type.

    Attributes:
        account: The account.
        registry: The registry.
        shadows: Device Shadow.
        jobs: Jobs.
        commands: Commands.
        provisioning: Fleet provisioning.
        just_in_time: JITR and JITP.
        streams: MQTT-based file delivery.
        defender: Device Defender reports.
        basic_ingest: Messages straight to rules.
        registry_events: Events of things and memberships.
        control: Operations of the `iot` API on the registry.
        desk: The services as the broker sees them.
    """

    def __init__(
        self,
        registry: Registry,
        authority: CertificateAuthority,
        *,
        new_id: Callable[[], str],
        unix_s_at_zero: float,
        account: Account | None = None,
        certificate_of: Callable[[str], str | None] = lambda _client_id: None,
        shadow_limits: ShadowLimits | None = None,
        endpoints: Mapping[str, str] | None = None,
    ) -> None:
        self.account = account = account or Account()
        self.registry = registry
        self.shadows = ShadowService(
            unix_s_at_zero,
            limits=shadow_limits,
            breached=self._breached,
            thing_exists=lambda name: registry.thing(name) is not None,
        )
        self.jobs = JobsService(
            self._things_of, new_id=new_id, unix_s_at_zero=unix_s_at_zero, account=account
        )
        self.commands = Commands(
            registry, account=account, new_id=new_id, unix_s_at_zero=unix_s_at_zero
        )
        self.provisioning = Provisioning(
            registry,
            authority,
            account=account,
            new_id=new_id,
            unix_s_at_zero=unix_s_at_zero,
            certificate_of=certificate_of,
        )
        self.just_in_time = JustInTime(registry, account=account, unix_s_at_zero=unix_s_at_zero)
        self.streams = Streams(account=account, unix_s_at_zero=unix_s_at_zero)
        self.defender = Defender(registry, unix_s_at_zero=unix_s_at_zero)
        self.basic_ingest = BasicIngest()
        self.registry_events = RegistryEvents(
            registry, account=account, new_id=new_id, unix_s_at_zero=unix_s_at_zero
        )
        self.control = ControlPlane(
            registry,
            authority,
            account=account,
            unix_s_at_zero=unix_s_at_zero,
            new_id=new_id,
            endpoints=endpoints,
            just_in_time=self.just_in_time,
            template_body=self.provisioning.template_body,
            thing_deleted=self.jobs.thing_deleted,
            groups_changed=self.jobs.groups_changed,
            events_changed=self._events_changed,
        )
        self.desk = ServiceDesk(
            {
                "shadows": self.shadows,
                "jobs": self.jobs,
                "commands": self.commands,
                "provisioning": self.provisioning,
                "streams": self.streams,
                "defender": self.defender,
                "basic-ingest": self.basic_ingest,
                "registry-events": self.registry_events,
            }
        )

    def _things_of(self, target_arn: str) -> Iterable[str] | None:
        """Names of the things a job's target stands for."""
        kind, _, name = target_arn.removeprefix(self.account.arn_prefix).partition("/")
        if kind == "thing":
            return [name] if self.registry.thing(name) is not None else None
        if kind == "thinggroup" and self.registry.groups.exists(name):
            return self.registry.groups.things_in(name, recursive=True)
        return None

    def _breached(self, cause: Cause, client_id: str) -> None:
        self.desk.breached(cause, client_id)

    def _events_changed(self, events: Mapping[str, bool]) -> None:
        self.jobs.set_events(
            job=events.get("JOB", False), execution=events.get("JOB_EXECUTION", False)
        )
