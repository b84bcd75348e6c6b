"""Plans for containers made of namespaces: one module for each part of the room.

``container.plan`` and ``execute.plan`` put the parts in order; each part is a generator of steps.
"""
