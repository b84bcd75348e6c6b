"""Fixtures for tests of every kind."""

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
