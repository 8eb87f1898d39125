"""Looks at the certificate, the key and the root that the configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certs.audit import audit_files
from certs.errors import ConfigurationError, StorageError
from certs.inspection import Finding, Verdict
from certs.pem import load_certificates
from certs.store import read_public

if TYPE_CHECKING:
    from datetime import datetime

    from agent.configuration import BrokerSection


def check_identity(broker: BrokerSection, now: datetime) -> list[Finding]:
    """Check the files of the `[broker]` section.

    Args:
        broker: The section.
        now: The present, with a time zone.

    Returns:
        One finding a check; never raises for what is wrong with the files.
    """
    findings: list[Finding] = []
    roots = []
    if broker.ca is not None:
        try:
            roots = load_certificates(read_public(broker.ca), str(broker.ca))
        except (ConfigurationError, StorageError) as error:
            findings.append(Finding("root", Verdict.FAILED, error.what, error.remedy))
    return findings + audit_files(broker.certificate, broker.private_key, roots, now)
