"""The shim's program: a sealed copy in memory, so that nothing inside can overwrite what runs
outside.

A container that is root on the host could otherwise open /proc/PID/exe of the process that enters
it and write to the file behind it (CVE-2019-5736).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket

from casemate.errors import Unavailable

_MFD_EXEC = 0x10  # linux/memfd.h; unknown to kernels before 6.3
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def path() -> str:
    """Return the path of the shim that was built with this package."""
    return os.path.join(os.path.dirname(os.path.dirname(__file__)), "libexec", "casemate-shim")


class Program:
    """The shim, loaded once and spawned many times."""

    def __init__(self, source: str | None = None) -> None:
        """Load the shim from ``source`` into a sealed memory file. Raises Unavailable."""
        source = source or path()
        try:
            with open(source, "rb") as file:
                code = file.read()
        except OSError as error:
            raise Unavailable(
                f"cannot read the shim {source}: {error.strerror}",
                hint="build it: pip install . in a checkout (needs musl-tools or gcc)",
            ) from error
        self._fd = _memory_file()
        view = memoryview(code)
        while view:
            view = view[os.write(self._fd, view) :]
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, _SEALS)
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def spawn(self, namespaces: int, peer: int = -1) -> tuple[int, socket.socket]:
        """Start a supervisor whose room has new ``namespaces`` (CLONE_NEW flags).

        With ``peer``, a pidfd, the room is born among the processes that this one sees. Returns the
        supervisor's pid, which the caller must wait for, and the connection to it.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A high number, so that what is put at 3 does not cover it.
        among = fcntl.fcntl(peer, fcntl.F_DUPFD_CLOEXEC, 10) if peer >= 0 else -1
        try:
            # With no environment and no descriptor but its own: helpers inherit nothing.
            pid = os.posix_spawn(
                f"/proc/self/fd/{self._fd}",
                ["casemate-shim", "supervise", str(namespaces), *(["among"] if among >= 0 else [])],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                    *([(os.POSIX_SPAWN_DUP2, among, 4)] if among >= 0 else []),
                    (os.POSIX_SPAWN_DUP2, self._null, 0),
                    (os.POSIX_SPAWN_DUP2, self._null, 1),
                    (os.POSIX_SPAWN_DUP2, self._null, 2),
                ],
                setsid=True,
            )
        except OSError as error:
            ours.close()
            raise Unavailable(f"cannot start a supervisor: {error.strerror}") from error
        finally:
            theirs.close()
            if among >= 0:
                os.close(among)
        return pid, ours

    @property
    def descriptor(self) -> int:
        """The memory file; by it, processes that run this program can be told from others."""
        return self._fd

    def close(self) -> None:
        """Let go of the memory file; running shims keep it."""
        for descriptor in (self._fd, self._null):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("casemate-shim", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("casemate-shim", flags)
