"""Isolation policy: data and pure functions that decide what a room's walls look like.

In: the user's options and facts about the machine. Out: values of the runtime spec (capabilities,
seccomp, mounts, masked paths, devices, limits) and the seccomp program. May import ``errors``,
``linux`` and ``oci``.
"""
