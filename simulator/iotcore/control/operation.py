"""What an operation of an API looks like to whoever mounts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.iotcore.broker.joints import Answer
    from simulator.iotcore.services.members import Request, Result

Operation: TypeAlias = "Callable[[Request, float], tuple[Result, list[Answer]]]"
"""Called with the request's members and the broker's clock; gives the result's members and what is
to be published. Raises `ServiceFailure`."""
