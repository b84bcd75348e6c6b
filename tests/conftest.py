"""Fixtures for tests of every kind."""

from hypothesis import HealthCheck, settings

from support.engines import engine, own_engine, shared_engine, start_engine
from support.isolation import disk, nothing_left, session_lock

__all__ = [
    "disk",
    "engine",
    "nothing_left",
    "own_engine",
    "session_lock",
    "shared_engine",
    "start_engine",
]

# A machine with much to do is slow, not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
