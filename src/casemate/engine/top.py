"""The processes of a container, as the host's ps shows them.

Nothing of the container is run, and what its processes call themselves decides nothing: which
lines are its processes' is decided by their ids, which its cgroup lists.
Source: Docker Engine API v1.47, ContainerTop; moby daemon/top_unix.go; man 1 ps.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
import time
from typing import IO, Any

from casemate.engine import states
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import (
    Conflict,
    Error,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
)

_DEFAULT = "-ef"
_OUTPUT_BYTES, _PIECE_BYTES, _LINE_BYTES = 16 << 20, 1 << 16, 1 << 10
_LIMIT_S = 10
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
#: A heading of the user's own that begins as the one by which lines are told apart.
_RENAMED = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)", re.ASCII)
_BLANKS = re.compile(r"[\t\n\f\r ]+")


async def top(engine: Engine, record: Record, arguments: str) -> dict[str, Any]:
    """Return titles and processes, by the ``arguments`` of ps (default -ef).

    Raises Conflict for a container that does not run, InvalidArgument and Internal for what ps
    does not understand.
    """
    arguments = arguments or _DEFAULT
    for name, value in _RENAMED.findall(arguments):
        if name != "pid":
            raise InvalidArgument(f'specifying "{name}={value}" is not allowed')
    record = engine.current(record)
    states.allow("top", record, engine.status(record))
    cgroup, first = engine.cgroup(record.state.cgroup), record.state.pid
    try:
        found = await in_thread(lambda: _table(arguments, _own(cgroup.pids(), first)))
    except NotFound:
        raise Conflict(f"container {record.id} is not running") from None
    engine.events.publish("container", "top", record.id, attributes(record))
    return found


def _own(pids: list[int], first: int) -> list[int]:
    """Return the container's processes, without that of the engine from which execs are born: it is
    in our own namespace, unless the container's ``first`` process is as well.
    """
    ours = _namespace(os.getpid())
    if _namespace(first) == ours:
        return pids
    return [pid for pid in pids if _namespace(pid) not in (ours, None)]


def _namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None  # it ends


def _table(arguments: str, pids: list[int]) -> dict[str, Any]:
    words = arguments.split(" ")
    chosen = "-q" + ",".join(map(str, pids))
    try:
        output = _ps([*words, chosen])
    except Internal:
        output = _ps(words)  # not every option of ps goes together with -q
    return parse(output, set(pids))


def _ps(words: list[str]) -> str:
    """Return what ps says. Raises Internal with its own words when it refuses."""
    try:
        with tempfile.TemporaryFile() as complaints, _started(words, complaints) as process:
            try:
                output = _bounded(process)
            finally:
                process.kill()  # or it has ended: it is told nothing then
            code = process.wait()
            complaints.seek(0)
            said = complaints.readline(_LINE_BYTES)
    except FileNotFoundError:
        raise Unavailable(
            'ps: exec: "ps": executable file not found in $PATH', hint="apt install procps"
        ) from None
    if code:
        first = said.decode("utf-8", "replace").strip()
        raise Internal(f"ps: {first or f'exit status {code}'}")
    return output.decode("utf-8", "replace")


def _started(words: list[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["ps", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=_ENVIRONMENT,
        cwd="/",
    )


def _bounded(process: subprocess.Popen[bytes]) -> bytes:
    """Return all output and wait for the end: command lines are a workload's own, and long."""
    assert process.stdout
    deadline, output = time.monotonic() + _LIMIT_S, bytearray()
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    while waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        piece = os.read(process.stdout.fileno(), _PIECE_BYTES)
        if not piece:
            process.wait(_LIMIT_S)
            return bytes(output)
        output += piece
        if len(output) > _OUTPUT_BYTES:
            raise Unavailable(f"ps: more than {_OUTPUT_BYTES} bytes of output")
    raise Unavailable(f"ps did not answer within {_LIMIT_S} s")


def parse(output: str, pids: set[int]) -> dict[str, Any]:
    """Return the table of what ps has said about ``pids``. Raises Internal.

    The line of a thread has a dash for its id and belongs to the process before it.
    """
    heading, *lines = output.split("\n")
    titles = _fields(heading)
    if "PID" not in titles:
        raise Internal("Couldn't find PID field in ps output")
    place = titles.index("PID")
    processes = []
    within = False
    for line in filter(None, lines):
        fields = _fields(line)
        if len(fields) <= place:
            raise _unexpected(line)
        if fields[place] != "-":
            within = _pid(fields[place]) in pids
        if within:
            last = len(titles) - 1
            processes.append([*fields[:last], " ".join(fields[last:])])
    return {"Titles": titles, "Processes": processes}


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise _unexpected(text)
    return int(text)


def _unexpected(text: str) -> Error:
    return Internal(f"Unexpected pid '{text[:80]}'")


def _fields(line: str) -> list[str]:
    """Return the words of a line; blanks are those of ASCII, others are part of a word."""
    return [word for word in _BLANKS.split(line) if word]
