"""The one place where MORAI's wire messages and the domain model are converted into each other.

Owns units (km/h and degrees on the wire, SI and radians inside), angle wrapping, the steering sign,
and the rules that tell a missing value from a zero. It must not know bytes, map projections or VSS.

What counts as unknown, and becomes `None`:

* a field the wire variant does not carry;
* the position (0, 0, 0): a simulator that has no position to give sends zeros, and competition
  builds blank it on purpose;
* velocity and acceleration when position, lateral and vertical velocity and acceleration are all
  exactly zero, which is how the 25.S4 and 25.01 competition builds blank them together;
* a time stamp whose nanoseconds are not below one second, or whose seconds are not positive;
* an all-zero quaternion, which the IMU sends while it starts;
* latitude and longitude both zero, which the GPS sends in a blackout zone with a valid status;
* any number that is not finite.

Sources: MORAI SIM: Drive 24.R2 manual, "UDP communication message" and "Communication protocols for
sensors"; MORAI_UDP_NetworkModule branch 24.R2.0, `lib/define`.
"""

from agent.vehicle.morai_view.ego import ego_state, ego_status
from agent.vehicle.morai_view.sensors import (
    gnss_fix,
    gps_sentences,
    imu,
    imu_sample,
    join_sentences,
)
from agent.vehicle.morai_view.surroundings import (
    COLLISION_SLOTS,
    OBJECT_SLOTS,
    collision_data,
    collisions,
    npc_collisions,
    object_info,
    tracked_objects,
    traffic_light,
    traffic_light_status,
)
from agent.vehicle.morai_view.units import MPS_PER_KMH, MPS_PER_KNOT, stamp_s

__all__ = [
    "COLLISION_SLOTS",
    "MPS_PER_KMH",
    "MPS_PER_KNOT",
    "OBJECT_SLOTS",
    "collision_data",
    "collisions",
    "ego_state",
    "ego_status",
    "gnss_fix",
    "gps_sentences",
    "imu",
    "imu_sample",
    "join_sentences",
    "npc_collisions",
    "object_info",
    "stamp_s",
    "tracked_objects",
    "traffic_light",
    "traffic_light_status",
]
