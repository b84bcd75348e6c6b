"""A small system: busybox as the init, with an /etc/inittab of its own."""

from __future__ import annotations

import io
import tarfile

from support.engine import busybox_tar

#: What is done at the first boot, to the name of the environment's FIRST, in the background.
_RC = """#!/bin/sh
echo booted
ls /run
touch /run/mark
if [ "$FIRST" ] && [ ! -e /first ]; then
	touch /first
	(sleep 0.2; $FIRST) &
fi
"""
_INITTAB = """::sysinit:/etc/rc
::respawn:/bin/sleep 1000
::shutdown:/bin/echo down
"""


def init_tar() -> bytes:
    """Return a root tar that boots with ``/bin/init``; it says ``booted`` and ``down``."""
    buffer = io.BytesIO(busybox_tar())
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for name, text in (("etc/inittab", _INITTAB), ("etc/rc", _RC)):
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
