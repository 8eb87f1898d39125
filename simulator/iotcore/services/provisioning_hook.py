"""Pre-provisioning hooks: what they are asked, what their answers mean.

Source: AWS IoT Core developer guide, "Pre-provisioning hooks"; the codes of refusals are what the
service was seen to answer. Knows nothing about templates, topics or who runs a hook.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from simulator.iotcore.services.provisioning_template import (
    PARAMETER_CHARACTERS_MAX,
    PARAMETERS_MAX,
    ProvisioningRefusal,
)

HOOK_TIMEOUT_S: Final = 5.0
"""How long a hook may take; developer guide, "Pre-provisioning hooks"."""


class HookCall(NamedTuple):
    """A hook to be run outside.

    Attributes:
        call_id: To finish it with.
        target_arn: `targetArn` of the hook.
        event: What a Lambda function would get.
        deadline_s: When it is too late, on the broker's clock.
    """

    call_id: str
    target_arn: str
    event: dict[str, Any]
    deadline_s: float


def read_overrides(answer: Any) -> dict[str, str]:
    """`parameterOverrides` of a hook that allows provisioning, as text.

    Raises:
        ProvisioningRefusal: AccessDenied when it does not allow it, InvalidResult when its answer
            has another shape.
    """
    allowed = answer.get("allowProvisioning") if isinstance(answer, dict) else None
    overrides = (answer.get("parameterOverrides") if isinstance(answer, dict) else None) or {}
    if (
        not isinstance(allowed, bool)
        or not isinstance(overrides, dict)
        or not all(isinstance(name, str) for name in overrides)
        or not all(isinstance(value, str | int | float) for value in overrides.values())
    ):
        raise ProvisioningRefusal(
            "InvalidResult", "Provisioning hook result is in an invalid format."
        )
    if not allowed:
        raise ProvisioningRefusal("AccessDenied", "Access Denied", 403)
    return read_parameters(
        {
            name: value if isinstance(value, str) else _number(value)
            for name, value in overrides.items()
        }
    )


def _number(value: float) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except ValueError:
        raise ProvisioningRefusal(
            "InvalidResult", "Provisioning hook result has a number that is too large."
        ) from None


def read_parameters(raw: Any) -> dict[str, str]:
    """The parameters of a device or a hook.

    Raises:
        ProvisioningRefusal: They are no texts by name, too many or too long.
    """
    parameters = {} if raw is None else raw
    if (
        not isinstance(parameters, dict)
        or len(parameters) > PARAMETERS_MAX
        or not all(isinstance(value, str) for value in parameters.values())
        or any(len(value) > PARAMETER_CHARACTERS_MAX for value in parameters.values())
    ):
        raise ProvisioningRefusal(
            "InvalidParameters",
            f"parameters must be at most {PARAMETERS_MAX} texts of at most "
            f"{PARAMETER_CHARACTERS_MAX} characters.",
        )
    return parameters


def hook_failed() -> ProvisioningRefusal:
    """The refusal when a hook raised, was late or cannot be run."""
    return ProvisioningRefusal(
        "InvocationError", "A failure occurred while invoking the provisioning hook."
    )
