"""A container, by its name or id."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from casemate.client import archives, values
from casemate.client.archives import Content
from casemate.client.attached import Exec, status_of
from casemate.client.connections import Connections
from casemate.client.output import STDERR, STDOUT, Output
from casemate.client.result import Result
from casemate.client.talk import Limits, Sender, concluded, talk
from casemate.client.target import path_of
from casemate.errors import NotFound
from casemate.http.client import Reply

OUTPUT_LIMIT_BYTES = 64 << 20


class ExecOptions(TypedDict, total=False):
    """What may be said of one more process."""

    env: Mapping[str, str]
    user: str
    workdir: str
    privileged: bool


_EXEC = {
    "env": ("Env", values.environment),
    "user": ("User", values.text),
    "workdir": ("WorkingDir", values.text),
    "privileged": ("Privileged", values.flag),
}


class Container:
    """A container of an engine. Every method raises the Error of the engine."""

    def __init__(self, connections: Connections, id_: str) -> None:
        self._connections = connections
        #: The whole id, or what the caller knows it by.
        self.id = id_

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id[:12]}>"

    def inspect(self) -> dict[str, Any]:
        """Return everything that the engine tells of it, as the Docker Engine API has it."""
        found: dict[str, Any] = self._call("GET", "json")
        return found

    @property
    def status(self) -> str:
        """created, running, paused, restarting, exited, dead or removing, as it is now."""
        return str(self.inspect()["State"]["Status"])

    def start(self) -> None:
        """Start it; nothing happens when it runs."""
        self._call("POST", "start")

    def stop(self, timeout: float | None = None) -> None:
        """Send its stop signal, and kill it after ``timeout`` seconds (default: its own)."""
        whole = "" if timeout is None else str(int(values.seconds("timeout", timeout) + 0.999))
        self._call("POST", "stop", t=whole)

    def restart(self) -> None:
        """Stop and start it."""
        self._call("POST", "restart")

    def kill(self, signal: str | int = "KILL") -> None:
        """Send a signal, by name or number, to its first process."""
        self._call("POST", "kill", signal=str(signal))

    def pause(self) -> None:
        """Freeze all its processes."""
        self._call("POST", "pause")

    def unpause(self) -> None:
        """Let its processes go on."""
        self._call("POST", "unpause")

    def wait(self) -> int:
        """Wait until it does not run, and return its exit code."""
        return status_of(self.ask_for_end())

    def ask_for_end(self) -> Reply:
        """Return the answer to come when it does not run; ``status_of`` reads it."""
        return self._connections.send("POST", path_of("containers", self.id, "wait"))

    def remove(self, *, force: bool = False) -> None:
        """Remove it; with ``force`` also when it runs."""
        path = path_of("containers", self.id, force="1" if force else "")
        self._connections.call("DELETE", path)

    def stats(self) -> dict[str, Any]:
        """Return what it uses now, as the Docker Engine API has it."""
        found: dict[str, Any] = self._call("GET", "stats", stream="0", **{"one-shot": "1"})
        return found

    def logs(self, *, tail: int | None = None) -> Result:
        """Return what its log has of both streams; ``exit_code`` is 0 and means nothing.

        Raises OutputLimit beyond 64 MiB.
        """
        return self._read_logs("" if tail is None else str(values.number("tail", tail)))

    def _read_logs(self, tail: str) -> Result:
        query = path_of("containers", self.id, "logs", stdout="1", stderr="1", tail=tail)
        output = Output(OUTPUT_LIMIT_BYTES)
        with self._connections.send("GET", query) as reply:
            for piece in reply.chunks():
                output.feed(piece)
        return Result(0, output.take(STDOUT), output.take(STDERR))

    def follow(self) -> Iterator[bytes]:
        """Yield the lines of its log, both streams, to its end; each with its line break."""
        query = path_of("containers", self.id, "logs", stdout="1", stderr="1", follow="1")
        output, rest = Output(OUTPUT_LIMIT_BYTES), {STDOUT: b"", STDERR: b""}
        with self._connections.send("GET", query) as reply:
            for piece in reply.chunks():
                output.feed(piece)
                for stream in rest:
                    *lines, rest[stream] = (rest[stream] + output.take(stream)).split(b"\n")
                    yield from (line + b"\n" for line in lines)
        yield from (line for line in rest.values() if line)

    # ---- processes ----

    def exec(
        self,
        command: Sequence[str],
        *,
        input: bytes | None = None,
        timeout: float | str | None = None,
        check: bool = False,
        output_limit: int | str = OUTPUT_LIMIT_BYTES,
        **options: Unpack[ExecOptions],
    ) -> Result:
        """Run one more process to its end.

        Raises Timeout when it takes longer than ``timeout`` seconds, and OutputLimit when it
        writes more than ``output_limit``: both kill the whole container, since one of its
        processes cannot be killed with all that it has started. With ``check`` raises Failed.
        """
        process = self.start_exec(command, input is not None, output_limit, options)
        limits = Limits(None if timeout is None else values.seconds("timeout", timeout))
        try:
            talk(process, limits, Sender(process.sock, input))
            result = ended(process, limits)
        finally:
            process.close()
        return result.check() if check else result

    def start_exec(
        self,
        command: Sequence[str],
        stdin: bool,
        output_limit: int | str,
        options: Mapping[str, Any],
    ) -> Exec:
        """Start one more process and return it with its streams."""
        config: dict[str, Any] = {"Cmd": values.texts("command", command), "AttachStdin": stdin}
        for name, value in options.items():
            if name not in _EXEC:
                raise values.refusal(name, value, f"one of {', '.join(_EXEC)}")
            field, read = _EXEC[name]
            config[field] = read(name, value)
        limit = values.size("output_limit", output_limit)
        return Exec(self._connections, self.id, config, limit)

    def expect_exec(self) -> None:
        """Have the engine prepare for an exec, so that the first one is as quick as others."""
        self._connections.call("POST", path_of("containers", self.id, "exec"), {"Cmd": ["true"]})

    # ---- files ----

    def put(self, path: str, content: Content) -> None:
        """Write one file; directories that are missing are made.

        ``content`` is bytes, a text, or the path (an object, not a text) of a file of ours.
        """
        self.put_all({path: content})

    def put_all(self, files: Mapping[str, Content]) -> None:
        """Write several files by their paths; directories that are missing are made."""
        for directory, contents in archives.grouped(files).items():
            try:
                self._unpack(directory, archives.packed(contents))
            except NotFound:
                self._unpack_below(directory, contents)

    def get(self, path: str, *, limit: int | str = archives.LIMIT_BYTES) -> bytes:
        """Return the content of the regular file ``path``. Raises NotFound, InvalidArgument."""
        found = self.get_all(path, limit=limit)
        content = found.get(posixpath.normpath(path))
        if content is None:
            raise values.refusal("path", path, "that of a regular file")
        return content

    def get_all(self, path: str, *, limit: int | str = archives.LIMIT_BYTES) -> dict[str, bytes]:
        """Return the regular files at and below ``path``, by their paths in the container.

        Raises NotFound, and InvalidArgument when there is more than ``limit``.
        """
        query = path_of("containers", self.id, "archive", path=values.text("path", path))
        with self._connections.send("GET", query) as reply:
            return archives.unpacked(reply.chunks(), path, values.size("limit", limit))

    def _unpack(self, directory: str, archive: bytes) -> None:
        query = path_of("containers", self.id, "archive", path=directory)
        with self._connections.send("PUT", query, archive) as reply:
            reply.read()

    def _unpack_below(self, directory: str, contents: Mapping[str, bytes]) -> None:
        """Write into a directory that is missing: from the last one on that is there."""
        names = directory.strip("/").split("/")
        missing: list[str] = []
        while names:
            missing.insert(0, names.pop())
            there = "/" + "/".join(names)
            inner = [posixpath.join(*missing[: n + 1]) for n in range(len(missing))]
            files = {posixpath.join(inner[-1], name): data for name, data in contents.items()}
            try:
                self._unpack(there, archives.packed(files, inner))
                return
            except NotFound:
                if not names:
                    raise

    def _call(self, method: str, verb: str, **query: str) -> Any:
        return self._connections.call(method, path_of("containers", self.id, verb, **query))


def ended(process: Exec, limits: Limits) -> Result:
    """Return the result of an exec whose streams have ended. Raises Timeout, OutputLimit."""
    output = process.output
    if limits.expired or output.overflowed:
        return concluded(process, limits, Result(137, output.take(STDOUT), output.take(STDERR)))
    code = process.finish()
    return Result(code, output.take(STDOUT), output.take(STDERR))
