"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Both rules measure time, which on a shared machine says nothing about the code.
settings.register_profile(
    "shared-machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("shared-machine")
