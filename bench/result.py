"""What a scenario found."""

from __future__ import annotations

from typing import NamedTuple

from bench.interleave import Turns


class Result(NamedTuple):
    """``turns`` of all cases in order; ``notes`` are sentences for the reader."""

    title: str
    turns: Turns
    notes: tuple[str, ...] = ()
