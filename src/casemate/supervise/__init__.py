"""Talking to shims: rooms, running tasks, execs, and the descriptors that belong to them.

In: plans and descriptors. Out: events (started, failed, exited) as they happen. Uses asyncio; one
connection for each shim. May import ``errors``, ``linux`` and ``runtime``.
"""
