"""Fixtures for tests of every kind."""

from support.engines import engine, own_engine, shared_engine, start_engine

__all__ = ["engine", "own_engine", "shared_engine", "start_engine"]
