"""Learn at once that the memory of a cgroup ran out.

Version 1 tells through an eventfd, as soon as the killer begins to look for a victim; version 2
changes ``memory.events``, which a watch of the cgroup's directory sees.

Source: linux Documentation/admin-guide/cgroup-v1/memory.rst, OOM Control; cgroup-v2.rst,
memory.events.
"""

from __future__ import annotations

import os

from casemate.linux.cgroups.place import Place


def subscribe(place: Place) -> int | None:
    """Return a descriptor that is readable when memory ran out; None in version 2. Raises OSError.

    The caller closes it, and reads 8 bytes each time.
    """
    if place.version == 2:
        return None
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = place.open("memory.oom_control", os.O_RDONLY)
        try:
            place.write("cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
    except BaseException:
        os.close(event)
        raise
    return event
