"""Descriptors of processes: a number that nobody else gets. Source: man 2 pidfd_open."""

from __future__ import annotations

import select


def has_ended(pidfd: int) -> bool:
    """Tell whether the process has ended, whether or not it was waited for."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(0))
