"""Brokers with quotas of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simulator.iotcore.throttling.account import AccountQuotas, Mode
from simulator.iotcore.throttling.bounds import limits_in
from simulator.quotas.files import named_table
from tests.simulator.iotcore.conftest import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.quotas.table import QuotaTable


def table_with(limits: dict[str, float], base: str = "default") -> QuotaTable:
    """A shipped table with some limits changed."""
    table = named_table(base, "us-east-1")
    changed = {key: replace(table.quotas[key], limit=limit) for key, limit in limits.items()}
    return replace(table, quotas=table.quotas | changed)


@pytest.fixture
def make_throttled() -> Callable[..., Bench]:
    """Make a `Bench` whose quotas are those of a table with some limits changed."""

    def make(
        limits: dict[str, float] | None = None, mode: Mode = Mode.ENFORCE, **options: Any
    ) -> Bench:
        table = table_with(limits or {}, options.pop("base", "default"))
        reserved = options.pop("reserved", None)
        quotas = AccountQuotas(table, mode, **options)
        return Bench(limits=limits_in(table), quotas=quotas, reserved=reserved)

    return make
