"""What the handlers of packets and requests share: the parts of one broker, in one value.

Owns no behaviour. Knows neither the handlers nor the order in which the broker builds the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.iotcore.broker.choices import Choices
    from simulator.iotcore.broker.counters import Counters
    from simulator.iotcore.broker.delivery import Distributor
    from simulator.iotcore.broker.joints import Quotas, ReservedTopics
    from simulator.iotcore.broker.lifecycle import LifecycleEvents
    from simulator.iotcore.broker.lifetimes import Lifetimes
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.broker.outputs import Outputs
    from simulator.iotcore.broker.routing import Router
    from simulator.iotcore.broker.session import Session
    from simulator.iotcore.broker.subscriptions import Subscriptions
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.registry import Registry


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one broker.

    Attributes:
        registry: Certificates, policies and things.
        account: Region and account number in ARNs.
        limits: Bounds.
        choices: Answers that AWS leaves open.
        quotas: Rates and counts of the account.
        reserved: The services behind `$` topics.
        events: Builds lifecycle events.
        subscriptions: Who listens to what.
        lifetimes: All connections and sessions.
        router: Where messages go.
        distributor: Brings messages to sessions.
        outputs: Where packets and closes go.
        counters: Totals by cause.
    """

    registry: Registry
    account: Account
    limits: Limits
    choices: Choices
    quotas: Quotas
    reserved: ReservedTopics
    events: LifecycleEvents
    subscriptions: Subscriptions[Session]
    lifetimes: Lifetimes
    router: Router
    distributor: Distributor
    outputs: Outputs
    counters: Counters
