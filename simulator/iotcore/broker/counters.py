"""What the broker did and what it dropped or refused, by cause, and for quotas by client.

An event has one cause: what a quota refuses is counted under that quota and nowhere else.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Any, Final, NamedTuple

from simulator.iotcore.throttling.talkers import TopTalkers

QUOTA_PREFIX: Final = "quota:"
_OPERATION_PREFIX: Final = f"{QUOTA_PREFIX}api-"


class Cause(StrEnum):
    """Why something was refused, dropped or ended. The values are the names users see.

    Those that start with `quota:` go on with the id of a quota in `simulator.quotas`.
    """

    CERTIFICATE_NOT_ACTIVE = "refused_certificate_not_active"
    CONNECT_DENIED = "refused_connect_denied"
    CONNECT_INVALID = "refused_connect_invalid"
    SESSIONS_FULL = "refused_sessions_full"
    CONNECT_TIMEOUT = "refused_no_connect"
    NOT_MQTT = "refused_not_mqtt"
    PROTOCOL_VERSION = "refused_protocol_version"
    PUBLISH_DENIED = "publish_denied"
    PUBLISH_TOPIC_INVALID = "publish_topic_invalid"
    SUBSCRIBE_DENIED = "subscribe_denied"
    SUBSCRIBE_FILTER_INVALID = "subscribe_filter_invalid"
    RECEIVE_DENIED = "receive_denied"
    DROPPED_SLOW_READER = "dropped_slow_reader"
    DROPPED_QUEUE_FULL = "dropped_queue_full"
    DROPPED_EXPIRED = "dropped_expired"
    DROPPED_TOO_LARGE = "dropped_too_large_for_client"
    DROPPED_UNACKNOWLEDGED = "dropped_unacknowledged"
    RETAINED_FULL = "retained_store_full"
    SLOW_READER_CLOSED = "closed_slow_reader"
    MALFORMED = "closed_malformed_packet"
    PROTOCOL_ERROR = "closed_protocol_error"
    KEEP_ALIVE = "closed_keep_alive"
    TAKEN_OVER = "closed_taken_over"
    DEFECT = "closed_defect"
    TEXT_FRAME = "closed_text_frame"
    FRAME_INVALID = "closed_invalid_frame"
    SIGNATURE_REFUSED = "refused_signature"
    AUTHORIZER_REFUSED = "refused_by_authorizer"
    HTTP_INVALID = "http_invalid"
    HTTP_FULL = "http_too_many_connections"

    QUOTA_CONNECTS = "quota:connects-per-account"
    QUOTA_CONNECTS_OF_CLIENT = "quota:connects-per-client-id"
    QUOTA_CONNECTIONS = "quota:connections-per-account"
    QUOTA_CLIENT_ID_BYTES = "quota:client-id-bytes"
    QUOTA_CLIENT_PACKET_BYTES = "quota:client-packet-bytes-least"
    QUOTA_PUBLISHES_IN = "quota:publishes-in-per-account"
    QUOTA_PUBLISHES_OUT = "quota:publishes-out-per-account"
    QUOTA_PUBLISHES_OF_CONNECTION = "quota:publishes-per-connection"
    QUOTA_THROUGHPUT = "quota:throughput-per-connection"
    QUOTA_UNACKNOWLEDGED_IN = "quota:unacknowledged-in-per-client"
    QUOTA_PAYLOAD_BYTES = "quota:payload-bytes"
    QUOTA_PACKET_BYTES = "quota:packet-bytes"
    QUOTA_TOPIC_BYTES = "quota:topic-bytes"
    QUOTA_TOPIC_SLASHES = "quota:topic-slashes"
    QUOTA_TOPIC_ALIASES = "quota:topic-aliases"
    QUOTA_USER_PROPERTIES = "quota:user-properties-bytes"
    QUOTA_CORRELATION_DATA = "quota:correlation-data-bytes"
    QUOTA_CONTENT_TYPE = "quota:content-type-bytes"
    QUOTA_SUBSCRIPTIONS = "quota:subscriptions-per-account"
    QUOTA_SUBSCRIPTIONS_OF_CONNECTION = "quota:subscriptions-per-connection"
    QUOTA_SUBSCRIBES = "quota:subscribes-per-account"
    QUOTA_FILTERS = "quota:filters-per-subscribe"
    QUOTA_SHARED_GROUPS = "quota:shared-groups"
    QUOTA_SHARED_GROUP_MEMBERS = "quota:shared-subscriptions-per-group"
    QUOTA_SHARED_CHANGES = "quota:shared-changes-per-group"
    QUOTA_QUEUED = "quota:queued-per-account"
    QUOTA_QUEUED_OF_GROUP = "quota:queued-per-shared-group"
    QUOTA_RETAINED_MESSAGES = "quota:retained-messages"
    QUOTA_RETAINED_PUBLISHES = "quota:retained-publishes-per-account"
    QUOTA_RETAINED_PUBLISHES_OF_TOPIC = "quota:retained-publishes-per-topic"

    # Asked for by the services and the HTTP API, through `Broker.admit`.
    QUOTA_DIRECT_MESSAGES = "quota:direct-messages-per-account"
    QUOTA_CONNECTION_REQUESTS = "quota:connection-requests-per-account"
    QUOTA_CONNECTION_REQUESTS_OF_CLIENT = "quota:connection-requests-per-client-id"
    QUOTA_SHADOW_REQUESTS = "quota:shadow-requests-per-account"
    QUOTA_SHADOW_REQUESTS_OF_SHADOW = "quota:shadow-requests-per-shadow"
    QUOTA_SHADOW_DOCUMENT = "quota:shadow-document-bytes"
    QUOTA_COMMAND_STARTS = "quota:command-starts-per-account"
    QUOTA_COMMAND_UPDATES = "quota:command-updates-per-account"
    QUOTA_COMMAND_READS = "quota:command-reads-per-account"
    QUOTA_COMMANDS_OF_DEVICE = "quota:commands-per-device"
    QUOTA_JOB_READS = "quota:job-reads-per-account"
    QUOTA_JOB_WRITES = "quota:job-writes-per-account"
    QUOTA_CSR_CERTIFICATES = "quota:csr-certificates-per-account"
    QUOTA_KEY_CERTIFICATES = "quota:key-certificates-per-account"
    QUOTA_REGISTRATIONS = "quota:registrations-per-account"
    QUOTA_STREAM_GETS = "quota:stream-gets-per-account"
    QUOTA_STREAM_DESCRIPTIONS = "quota:stream-descriptions-per-account"
    QUOTA_CERTIFICATES_REGISTERED = "quota:certificates-registered-per-account"

    # One operation of the HTTP API each.
    API_CREATE_THING = "quota:api-create-thing"
    API_UPDATE_THING = "quota:api-update-thing"
    API_DELETE_THING = "quota:api-delete-thing"
    API_DESCRIBE_THING = "quota:api-describe-thing"
    API_LIST_THINGS = "quota:api-list-things"
    API_ATTACH_THING_PRINCIPAL = "quota:api-attach-thing-principal"
    API_DETACH_THING_PRINCIPAL = "quota:api-detach-thing-principal"
    API_CREATE_THING_TYPE = "quota:api-create-thing-type"
    API_CREATE_THING_GROUP = "quota:api-create-thing-group"
    API_ADD_THING_TO_THING_GROUP = "quota:api-add-thing-to-thing-group"
    API_REMOVE_THING_FROM_THING_GROUP = "quota:api-remove-thing-from-thing-group"
    API_CREATE_KEYS_AND_CERTIFICATE = "quota:api-create-keys-and-certificate"
    API_CREATE_CERTIFICATE_FROM_CSR = "quota:api-create-certificate-from-csr"
    API_REGISTER_CERTIFICATE = "quota:api-register-certificate"
    API_REGISTER_CERTIFICATE_WITHOUT_CA = "quota:api-register-certificate-without-ca"
    API_DESCRIBE_CERTIFICATE = "quota:api-describe-certificate"
    API_UPDATE_CERTIFICATE = "quota:api-update-certificate"
    API_DELETE_CERTIFICATE = "quota:api-delete-certificate"
    API_CREATE_POLICY = "quota:api-create-policy"
    API_ATTACH_POLICY = "quota:api-attach-policy"
    API_DETACH_POLICY = "quota:api-detach-policy"
    API_CREATE_PROVISIONING_CLAIM = "quota:api-create-provisioning-claim"
    API_ASSUME_ROLE_WITH_CERTIFICATE = "quota:api-assume-role-with-certificate"
    API_GET_RETAINED_MESSAGE = "quota:api-get-retained-message"
    API_LIST_RETAINED_MESSAGES = "quota:api-list-retained-messages"

    @property
    def quota(self) -> str | None:
        """The id of the quota, if it is one."""
        return self.value.removeprefix(QUOTA_PREFIX) if self.startswith(QUOTA_PREFIX) else None

    @property
    def is_of_one_operation(self) -> bool:
        """Whether it is the rate of one operation of the HTTP API."""
        return self.startswith(_OPERATION_PREFIX)


class Effect(Enum):
    """What becomes of an event that breaks a quota."""

    OBSERVE = auto()
    """It goes on, and is only counted."""
    DISCARD = auto()
    """It is dropped without an answer, as the service does above the rate per connection."""
    REFUSE = auto()
    """It is answered 0x97, "quota exceeded"; a QoS 0 publish has no answer and is dropped."""


class Breach(NamedTuple):
    """A quota is broken.

    Attributes:
        cause: Which one.
        effect: What follows.
    """

    cause: Cause
    effect: Effect

    @property
    def is_enforced(self) -> bool:
        """Whether the event does not go on."""
        return self.effect is not Effect.OBSERVE


class Counters:
    """Running totals of one broker. They only rise."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "causes",
        "connects",
        "disconnects",
        "messages_queued",
        "publishes_in",
        "publishes_out",
        "refused",
        "subscribes",
    )

    def __init__(self) -> None:
        self.connects = 0
        self.disconnects = 0
        self.publishes_in = 0
        self.publishes_out = 0
        self.subscribes = 0
        self.messages_queued = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.causes: dict[Cause, int] = {}
        self.refused: dict[Cause, TopTalkers] = {}

    def count(self, cause: Cause) -> None:
        """Count one event of this cause."""
        self.causes[cause] = self.causes.get(cause, 0) + 1

    def refuse(self, cause: Cause, client_id: str) -> None:
        """Count one event of this cause, and the client when the cause is a quota."""
        self.count(cause)
        talkers = self.refused.get(cause)
        if talkers is None:
            if cause.quota is None:
                return
            talkers = self.refused[cause] = TopTalkers()
        talkers.count(client_id)

    def breached(self, breach: Breach, client_id: str) -> bool:
        """Count a breach; whether its event must be refused and not only counted."""
        self.refuse(breach.cause, client_id)
        return breach.is_enforced

    def as_dict(self) -> dict[str, int]:
        """All totals by name; causes that never happened are left out."""
        totals = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in {"causes", "refused"}
        }
        return totals | {cause.value: count for cause, count in sorted(self.causes.items())}

    def quota_report(self) -> dict[str, dict[str, Any]]:
        """What was refused, or would have been, by id of the quota: for machines.

        Each has `refused`, the total, and `clients`: `client_id`, `refused`, and `excess`, by which
        that may be too high. At most `talkers.KEPT` clients are remembered for a quota.
        """
        return {
            cause.removeprefix(QUOTA_PREFIX): {
                "refused": self.causes[cause],
                "clients": [
                    {
                        "client_id": talker.client_id,
                        "refused": talker.events,
                        "excess": talker.excess,
                    }
                    for talker in talkers.top()
                ],
            }
            for cause, talkers in sorted(self.refused.items())
        }
