"""What is said of one wall."""

from __future__ import annotations

from typing import NamedTuple

NOT_HERE = "none here"


class Wall(NamedTuple):
    """One wall. ``holds`` is None where the kernel has nothing to say, or nothing was set."""

    name: str
    setting: str
    origin: str
    kernel: str
    holds: bool | None
