"""Fixtures of the tests of the Python API."""

from __future__ import annotations

from support.api import api

__all__ = ["api"]
