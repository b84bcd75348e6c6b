"""States and times in words, as docker ps has them."""

from __future__ import annotations

import time

from casemate.engine.clock import now_ns
from casemate.engine.records import Health, Record, Status

_STATUS_WORDS = {"created": "Created", "dead": "Dead", "removing": "Removal In Progress"}


def status(record: Record, status: Status) -> str:
    """Return the state as docker ps words it: ``Up 5 minutes``, ``Exited (0) 2 hours ago``."""
    state = record.state
    if status in _STATUS_WORDS:
        return _STATUS_WORDS[status]
    if record.active:
        more = " (Paused)" if status == "paused" else _health(state.health)
        return f"Up {duration((now_ns() - state.started_ns) / 1e9)}{more}"
    ago = duration(time.time() - state.finished_ns / 1e9)
    verb = "Restarting" if status == "restarting" else "Exited"
    return f"{verb} ({state.exit_code}) {ago} ago"


def _health(health: Health | None) -> str:
    if health is None:
        return ""
    return f" ({'health: starting' if health.status == 'starting' else health.status})"


def duration(seconds: float) -> str:
    """Return a length of time in words. Source: docker/go-units, HumanDuration."""
    whole_seconds = int(seconds)
    if whole_seconds < 1:
        return "Less than a second"
    if whole_seconds == 1:
        return "1 second"
    if whole_seconds < 60:
        return f"{whole_seconds} seconds"
    minutes = whole_seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"
