"""Refusals that several operations of the control plane share, with AWS's codes and statuses."""

from __future__ import annotations

from typing import Any, Final

from simulator.iotcore.services.failures import ServiceFailure

INVALID: Final = "InvalidRequestException"


class AlreadyExists(ServiceFailure):
    """ResourceAlreadyExistsException, which names what exists.

    Args:
        message: What is wrong.
        resource_id: Id or name of what exists.
        resource_arn: Its ARN.

    Attributes:
        members: Members of the exception besides the message.
    """

    def __init__(self, message: str, resource_id: str, resource_arn: str) -> None:
        super().__init__("ResourceAlreadyExistsException", message, 409)
        self.members: dict[str, Any] = {"resourceId": resource_id, "resourceArn": resource_arn}


def invalid(message: str) -> ServiceFailure:
    """InvalidRequestException."""
    return ServiceFailure(INVALID, message)


def not_found(message: str) -> ServiceFailure:
    """ResourceNotFoundException."""
    return ServiceFailure("ResourceNotFoundException", message, 404)


def limit_exceeded(message: str) -> ServiceFailure:
    """LimitExceededException."""
    return ServiceFailure("LimitExceededException", message, 410)


def delete_conflict(message: str) -> ServiceFailure:
    """DeleteConflictException."""
    return ServiceFailure("DeleteConflictException", message, 409)


def wrong_state(message: str) -> ServiceFailure:
    """CertificateStateException."""
    return ServiceFailure("CertificateStateException", message, 406)


def wrong_certificate(message: str) -> ServiceFailure:
    """CertificateValidationException."""
    return ServiceFailure("CertificateValidationException", message)


def version_conflict(kind: str, name: str, expected: int) -> ServiceFailure:
    """VersionConflictException."""
    return ServiceFailure(
        "VersionConflictException", f"The version of {kind} {name} is not {expected}", 409
    )
