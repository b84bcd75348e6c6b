"""Starts the engine when nobody listens, and waits until it says that it is ready.

The new process has a session of its own, nothing of ours open, and one pipe on which it writes
``ready`` or ``error: …``. Two commands may start one at the same time: the engine that loses says
``ready`` as well.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys

from casemate.errors import PermissionDenied, Unavailable, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.client.place import Place

#: An engine may have much to put in order after a crash.
_READY_TIMEOUT_S = 300
_MAX_LOG_BYTES = 1 << 20
_SHOWN_LINES = 12
_READY_FD = 3
_FIRST_FREE_FD = 10
_SIGNALS = [number for number in range(1, 32) if number not in (9, 19)]


def command(place: Place) -> list[str]:
    """Return the command line of the engine; no module of it comes from where we happen to be."""
    return [
        *(sys.executable, "-P", "-m", "casemate.daemon"),
        *("--root", place.root, "--run", place.run, "--ready-fd", str(_READY_FD)),
    ]


def start_engine(place: Place) -> None:
    """Start the engine of ``place`` and wait until it listens. Raises Unavailable, or
    PermissionDenied when the user is not root.
    """
    if os.geteuid():
        raise PermissionDenied(
            "casemate needs root: its engine makes namespaces, mounts and cgroups",
            hint="use sudo; or name the socket of an engine that lets your group in"
            " (casemate.daemon --group) in CASEMATE_HOST",
        )
    log_path = f"{place.run}/engine.log"
    try:
        os.makedirs(place.run, mode=0o755, exist_ok=True)
        log = _open_log(log_path)
        written = os.fstat(log).st_size
        reading = _spawn(command(place), log)
        os.close(log)
    except OSError as error:
        raise from_os(error, "cannot start the engine") from error
    with open(reading, "rb", buffering=0) as pipe:
        said = _hear(pipe.fileno())
    if said == "ready":
        return
    if said.startswith("error: "):
        raise Unavailable(f"cannot start the engine: {said[7:]}", hint=f"its log is {log_path}")
    raise Unavailable(
        "cannot start the engine: it ended before it was ready" + _tail(log_path, written),
        hint=f"its log is {log_path}",
    )


def _open_log(path: str) -> int:
    """Open the log to append to it; a large one makes room for a new one."""
    try:
        if os.stat(path).st_size > _MAX_LOG_BYTES:
            os.replace(path, f"{path}.1")
    except FileNotFoundError:
        pass
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _spawn(words: list[str], log: int) -> int:
    """Run ``words`` detached, with ``log`` as its stderr; return the pipe to hear it on."""
    reading, writing = os.pipe()
    ours = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD) for fd in (log, writing)]
    os.close(writing)
    actions: list[tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, ours[0], 2),
        (os.POSIX_SPAWN_DUP2, ours[1], _READY_FD),
    ]
    # What the shell left open (a lock, a pipe somebody waits on) must not live on in the engine.
    inherited = [int(name) for name in os.listdir("/proc/self/fd")]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in inherited if fd > _READY_FD]
    try:
        os.posix_spawn(
            words[0],
            words,
            os.environ,
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=_SIGNALS,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        for descriptor in ours:
            os.close(descriptor)
    return reading


def _hear(pipe: int) -> str:
    """Return the line that the engine writes, "" when it closes the pipe without one."""
    said = b""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    while b"\n" not in said and len(said) < 64 << 10:
        if not waiting.poll(_READY_TIMEOUT_S * 1000):
            raise Unavailable(f"the engine is not ready after {_READY_TIMEOUT_S} s")
        piece = os.read(pipe, 4096)
        if not piece:
            break
        said += piece
    line, newline, _ = said.partition(b"\n")
    return line.decode("utf-8", "replace").strip() if newline else ""


def _tail(path: str, start: int) -> str:
    """Return the last lines that were written to the log behind ``start`` bytes."""
    try:
        with open(path, "rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(min(start, end), end - (16 << 10)))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in lines[-_SHOWN_LINES:])
