"""Watching a stand-in: from its counters to its status.

Owns which figures there are and how long rates look back. Asks the broker and the services and
changes nothing; time is an argument, that of the machine, so that rates and the time it runs stay
true when the stand-in's clock is moved. Knows nothing about HTTP or terminals.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final, Protocol

from certs.terminal import printable
from simulator.iotcore.broker.counters import QUOTA_PREFIX
from simulator.iotcore.status.document import (
    ClockReading,
    QuotaReading,
    Refusal,
    RefusedClient,
    Status,
    Talker,
)
from simulator.iotcore.status.rates import Rates, Traffic
from simulator.iotcore.throttling.account import Mode
from simulator.iotcore.throttling.choosing import OFF
from simulator.quotas.wording import refused_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.broker import Broker
    from simulator.iotcore.clock import Clock
    from simulator.iotcore.cloud import Cloud
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry
    from simulator.iotcore.throttling.choosing import Choice

TALKERS: Final = 10
REFUSED_CLIENTS: Final = 10
_TOTALS: Final = (
    "connects",
    "disconnects",
    "publishes_in",
    "publishes_out",
    "bytes_in",
    "bytes_out",
    "subscribes",
    "messages_queued",
)
REFUSED: Final = "refused"
"""Name of the total of everything that quotas refused, or would have."""


class ObservedCore(Protocol):
    """What is asked of the server: `CoreServer` has it."""

    host: str
    port: int
    registry: Registry

    @property
    def broker(self) -> Broker:
        """The broker that runs now."""
        ...

    @property
    def cloud(self) -> Cloud | None:
        """Registry and services, if they are served."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock."""
        ...

    def counters(self) -> dict[str, int]:
        """Totals since the start."""
        ...

    def transports(self) -> dict[str, int]:
        """How connections came in."""
        ...


class Observer:
    """Gives the status of a stand-in that is listening.

    Args:
        core: The stand-in.
        choice: Its quotas.
        now_s: The machine's time now.
        account: Region and account number.
        version: Of the program.
        may_travel: Whether the clock may be moved from outside.
        api: Figures of the AWS API; None when it is not served.
        persistence: Figures of the data directory; None without one.
    """

    def __init__(
        self,
        core: ObservedCore,
        choice: Choice,
        now_s: float,
        *,
        account: Account,
        version: str,
        may_travel: bool = False,
        api: Callable[[], dict[str, Any]] | None = None,
        persistence: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self.core = core
        self.choice = choice
        self._started_s = now_s
        self._account = account
        self._version = version
        self._may_travel = may_travel
        self._api = api
        self._persistence = persistence
        self._rates = Rates(now_s, self._totals())
        self._traffic = Traffic(now_s)

    def sample(self, now_s: float) -> None:
        """Take down what rates are made of. To be called about once a second."""
        self._rates.sample(now_s, self._totals())
        if self._traffic.is_due(now_s):
            self._traffic.sample(now_s, self.core.broker.traffic())

    def status(self, now_s: float, *, clients: int = REFUSED_CLIENTS) -> Status:
        """The status of the moment.

        Args:
            now_s: The machine's time now.
            clients: Most clients named for each quota.
        """
        core, clock = self.core, self.core.clock
        counters = core.counters()
        totals = self._totals()
        cloud = core.cloud
        return Status(
            version=self._version,
            host=core.host,
            port=core.port,
            region=self._account.region,
            account=self._account.account_id,
            uptime_s=round(now_s - self._started_s, 3),
            clock=ClockReading(
                unix_s=round(clock.unix_s(), 3),
                ahead_s=clock.travelled_s,
                may_travel=self._may_travel,
            ),
            connections=counters["connections"],
            http_connections=core.transports()["http"],
            tls_pending=counters["tls_pending"],
            sessions=core.broker.sessions,
            retained_messages=len(core.broker.retained),
            registered=self._registered(),
            totals=totals,
            per_s={name: round(rate, 2) for name, rate in self._rates.per_s(now_s, totals).items()},
            causes={cause.value: n for cause, n in core.broker.counters.causes.items()},
            quotas=self._quotas(clients),
            talkers=self._talkers(now_s),
            services=_services(cloud),
            api=self._api() if self._api is not None else None,
            persistence=self._persistence() if self._persistence is not None else None,
        )

    def _totals(self) -> dict[str, int]:
        counters = self.core.counters()
        refused = sum(count for name, count in counters.items() if name.startswith(QUOTA_PREFIX))
        return {
            **{name: counters[name] for name in _TOTALS},
            "tls_failed": counters.get("tls_failed", 0),
            "http_requests": self.core.transports()["requests"],
            REFUSED: refused,
        }

    def _registered(self) -> dict[str, int]:
        registry = self.core.registry
        return {
            "certificates": len(registry.certificate_ids),
            "things": len(registry.things()),
        }

    def _quotas(self, clients: int) -> QuotaReading:
        table, quotas = self.choice.table, self.choice.quotas
        refused = self.core.broker.quota_report()
        entries = sorted(refused.items(), key=lambda item: -item[1]["refused"])
        is_enforced = quotas is None or quotas.mode is Mode.ENFORCE
        refusals = []
        for quota_id, entry in entries:
            text = f"IoT Core refused {entry['refused']:,}: {quota_id}"
            if table is not None:
                named = [
                    (printable(each["client_id"]), each["refused"]) for each in entry["clients"]
                ]
                text = refused_text(
                    table.quotas[quota_id], entry["refused"], named, is_enforced=is_enforced
                )
            refusals.append(
                Refusal(
                    quota=quota_id,
                    refused=entry["refused"],
                    clients=[RefusedClient(**each) for each in entry["clients"][:clients]],
                    text=text,
                )
            )
        if table is None or quotas is None:
            return QuotaReading(table=OFF, date="", mode=OFF, refusals=refusals)
        return QuotaReading(
            table=table.name, date=table.date, mode=quotas.mode.value, refusals=refusals
        )

    def _talkers(self, now_s: float) -> list[Talker]:
        broker = self.core.broker
        rates = {
            client_id: self._traffic.per_s(client_id, now_s, totals)
            for client_id, totals in broker.traffic().items()
        }
        busiest = heapq.nlargest(TALKERS, rates.items(), key=lambda item: sum(item[1]))
        talkers = []
        for client_id, (in_per_s, out_per_s) in busiest:
            client = broker.client(client_id)
            if client is not None:
                talkers.append(
                    Talker(
                        client_id=client_id,
                        address=client.source_ip,
                        in_per_s=round(in_per_s, 2),
                        out_per_s=round(out_per_s, 2),
                        publishes_in=client.publishes_in,
                        publishes_out=client.publishes_out,
                        subscriptions=client.subscriptions,
                        queued=client.queued,
                    )
                )
        return talkers


def _services(cloud: Cloud | None) -> dict[str, dict[str, Any]]:
    if cloud is None:
        return {}
    return {**cloud.desk.status(), "just-in-time": cloud.just_in_time.status()}
