"""What one connection may do, decided once per topic and remembered.

Joins the registry, the policy language and the topic rules into answers the broker can use as they
are: an MQTT reason code, or zero for yes. Knows nothing about packets or sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.iotcore.broker.topics import (
    filter_fault,
    is_reserved,
    split_shared,
    topic_fault,
)
from simulator.iotcore.permissions.policy import Action, Permissions
from simulator.iotcore.permissions.variables import thing_values

if TYPE_CHECKING:
    from simulator.iotcore.broker.joints import ReservedTopics
    from simulator.iotcore.broker.limits import Limits
    from simulator.iotcore.permissions.account import Account
    from simulator.iotcore.permissions.identity import Principal
    from simulator.iotcore.registry import Registry

ALLOWED = 0
NOT_AUTHORIZED = 0x87
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90

DECISIONS_MAX = 1_024
"""Remembered decisions per connection and action. Full: forgotten and decided anew."""


class Authorizer:
    """Decisions for one connection.

    The registry may change while the connection is open; the next question after a change is
    answered from the new registry.

    Args:
        registry: Where policies and things are attached.
        account: The ARNs to build.
        reserved: Which `$` topics exist.
        limits: Sizes of topics and filters.
        principal: Who the client is.
        client_id: The connection's client id; None for a request that has none, over HTTPS.
        source_ip: The connection's address.
        connect_attributes: Values of the condition key `iot:ConnectAttributes`.
        will_topic: Topic of the connection's will, of which `iot:LastWillTopic` is the ARN.
    """

    __slots__ = (
        "_account",
        "_client_id",
        "_connect_attributes",
        "_limits",
        "_permissions",
        "_principal",
        "_publish",
        "_receive",
        "_receive_prefixes",
        "_registry",
        "_reserved",
        "_revision",
        "_source_ip",
        "_will_topic",
    )

    def __init__(
        self,
        registry: Registry,
        account: Account,
        reserved: ReservedTopics,
        limits: Limits,
        *,
        principal: Principal,
        client_id: str | None,
        source_ip: str,
        connect_attributes: tuple[str, ...] = (),
        will_topic: str | None = None,
    ) -> None:
        self._registry = registry
        self._account = account
        self._reserved = reserved
        self._limits = limits
        self._principal = principal
        self._client_id = client_id
        self._source_ip = source_ip
        self._connect_attributes = connect_attributes
        self._will_topic = will_topic
        self._publish: dict[str, int] = {}
        self._receive: dict[str, bool] = {}
        self.rebind()

    def rebind(self) -> None:
        """Compute the permissions anew, because the principal's own policies changed."""
        registry = self._registry
        self._revision = registry.revision
        values = {**self._principal.policy_values, "aws:sourceip": (self._source_ip,)}
        if self._client_id is not None:
            values["iot:clientid"] = (self._client_id,)
            values |= thing_values(self._principal.thing(registry, self._client_id))
        connect_values = {"iot:connectattributes": self._connect_attributes}
        if self._will_topic is not None:
            arn = f"{self._account.arn_prefix}topic/{self._will_topic}"
            connect_values["iot:lastwilltopic"] = (arn,)
        self._permissions = Permissions(
            self._principal.policies(registry, self._client_id), values, connect_values
        )
        # A reader of a whole fleet sees more topics than are worth remembering one by one; what it
        # may receive is nearly always a matter of prefixes.
        self._receive_prefixes = self._permissions.allowed_prefixes(
            Action.RECEIVE, f"{self._account.arn_prefix}topic/"
        )
        self._publish.clear()
        self._receive.clear()

    def may_connect(self) -> bool:
        """Whether `iot:Connect` allows this client id."""
        return self._current().allows(
            Action.CONNECT, f"{self._account.arn_prefix}client/{self._client_id}"
        )

    def publish(self, topic: str) -> int:
        """Reason code for a PUBLISH to this topic; 0 when it is allowed."""
        if self._revision != self._registry.revision:
            self.rebind()
        code = self._publish.get(topic)
        if code is None:
            code = self._decide_publish(topic)
            if len(self._publish) >= DECISIONS_MAX:
                self._publish.clear()
            self._publish[topic] = code
        return code

    def retain_publish(self, topic: str) -> int:
        """Reason code for a PUBLISH with RETAIN, which needs `iot:RetainPublish` as well.

        The service does not retain on `$` topics; that it answers 0x90 is an assumption.
        """
        code = self.publish(topic)
        if code != ALLOWED:
            return code
        if is_reserved(topic):
            return TOPIC_NAME_INVALID
        allowed = self._permissions.allows(Action.RETAIN_PUBLISH, self._topic_arn(topic))
        return ALLOWED if allowed else NOT_AUTHORIZED

    def subscribe(self, pattern: str) -> int:
        """Reason code for one filter of a SUBSCRIBE; 0 when it is allowed."""
        shared = split_shared(pattern)
        if shared is None:
            return TOPIC_FILTER_INVALID
        bytes_max, slashes_max = self._limits.topic_bytes, self._limits.topic_slashes
        if filter_fault(shared.topic_filter, bytes_max, slashes_max) is not None:
            return TOPIC_FILTER_INVALID
        if is_reserved(shared.topic_filter) and not self._reserved.may_subscribe(
            shared.topic_filter
        ):
            return TOPIC_FILTER_INVALID
        # The policy sees the filter without its share prefix (developer guide, "Shared
        # subscriptions": the policy allows the topic filter).
        allowed = self._current().allows(
            Action.SUBSCRIBE, f"{self._account.arn_prefix}topicfilter/{shared.topic_filter}"
        )
        return ALLOWED if allowed else NOT_AUTHORIZED

    def may_receive(self, topic: str) -> bool:
        """Whether `iot:Receive` allows a delivery from this topic."""
        if self._revision != self._registry.revision:
            self.rebind()
        if topic.startswith(self._receive_prefixes):
            return True
        allowed = self._receive.get(topic)
        if allowed is None:
            allowed = self._permissions.allows(Action.RECEIVE, self._topic_arn(topic))
            if len(self._receive) >= DECISIONS_MAX:
                self._receive.clear()
            self._receive[topic] = allowed
        return allowed

    def _decide_publish(self, topic: str) -> int:
        limits = self._limits
        if topic_fault(topic, limits.topic_bytes, limits.topic_slashes) is not None:
            return TOPIC_NAME_INVALID
        if is_reserved(topic) and not self._reserved.may_publish(topic):
            return TOPIC_NAME_INVALID
        allowed = self._permissions.allows(Action.PUBLISH, self._topic_arn(topic))
        return ALLOWED if allowed else NOT_AUTHORIZED

    def _topic_arn(self, topic: str) -> str:
        return f"{self._account.arn_prefix}topic/{topic}"

    def _current(self) -> Permissions:
        if self._revision != self._registry.revision:
            self.rebind()
        return self._permissions
