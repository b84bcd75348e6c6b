"""Control groups, version 1, version 2 and both at once, behind one interface.

In: the layout of the mounted hierarchies (``layout.detect``), the path of a cgroup below them and
limits as plain values. Out: a ``Cgroup`` that is created, limited, measured, frozen, killed and
deleted. Whatever is set is read back. May import ``errors`` and ``linux``.
"""
