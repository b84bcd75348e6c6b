"""The two ways in which a benchmark ends early."""

from __future__ import annotations


class Missing(Exception):
    """A peer or a feature is not to be had here: reported beside the figures."""


class Broken(Exception):
    """Something that should work did not: what would be measured is not what is meant."""
