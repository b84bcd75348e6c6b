"""Warm sandboxes: containers that wait for one command each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

from casemate.client import values
from casemate.client.archives import Content
from casemate.client.attached import Exec
from casemate.client.container import OUTPUT_LIMIT_BYTES, Container, ExecOptions, ended
from casemate.client.engine import Engine
from casemate.client.options import Options
from casemate.client.result import Result
from casemate.client.run import asked, started
from casemate.client.running import Running
from casemate.client.talk import Limits, Sender, talk
from casemate.errors import Error, FailedPrecondition, NotFound

#: What a sandbox does until it is used. Its image must have it.
IDLE = ("sleep", "infinity")
#: Threads that make and remove: while one waits for the engine, the other goes on.
_KEEPERS = 2


class Job(NamedTuple):
    """One command for a sandbox."""

    command: Sequence[str]
    input: bytes | None
    timeout_s: float | None
    files: Mapping[str, Content]
    collect: Sequence[str]
    limit_bytes: int
    options: ExecOptions


class Pool:
    """Sandboxes of ``image`` that are ready; each is used once and replaced in the background.

    Limits and walls are options as of ``run``, but that ``isolation`` is ``sandbox`` unless said
    otherwise; ``idle`` is what a sandbox runs until it is used. Use in a ``with``
    statement; any number of threads may use one.
    """

    def __init__(
        self,
        image: str,
        size: int = 4,
        *,
        idle: Sequence[str] = IDLE,
        engine: Engine | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._size = values.number("size", size)
        if not 0 < self._size <= 1000:
            raise values.refusal("size", size, "between 1 and 1000")
        if "name" in options:
            raise values.refusal("name", options["name"], "left out: each sandbox has its own")
        options.setdefault("isolation", "sandbox")
        self._asked = asked(image, idle, **options)
        self._engine = engine or Engine()
        self._closes = engine is None
        self._ready: deque[Running] = deque()
        self._spent: deque[Running] = deque()
        #: How many are to be made, and how many are not because the last one could not.
        self._missing = self._given_up = 0
        self._in_use = 0
        self._failure: Error | None = None
        self._closed = True
        self._changed = threading.Condition()
        self._keepers = [
            threading.Thread(target=self._keep, name="casemate-pool", daemon=True)
            for _ in range(min(_KEEPERS, self._size))
        ]

    def __enter__(self) -> Self:
        try:
            self._ready.append(self._made())
        except BaseException:
            self._close_engine()
            raise
        self._missing = self._size - 1
        self._closed = False
        for keeper in self._keepers:
            keeper.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove all sandboxes. Those in use are killed by who uses them, at their end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for keeper in self._keepers:
            keeper.join()
        while self._ready:
            self._ready.popleft().end()
        while self._spent:
            self._spent.popleft().end()
        self._close_engine()

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float | str | None = None,
        input: bytes | None = None,
        files: Mapping[str, Content] = {},
        collect: Sequence[str] = (),
        check: bool = False,
        output_limit: int | str = OUTPUT_LIMIT_BYTES,
        **options: Unpack[ExecOptions],
    ) -> Result:
        """Run a command in a sandbox that nobody has used, and return its result.

        ``files`` are written before, by their paths; ``collect`` are paths of files and
        directories that are read behind the end (what is not there is left out). Waits for a
        sandbox when none is ready. Raises Timeout and OutputLimit; Failed with ``check``; and the
        Error of the engine, also when it cannot make sandboxes any more.
        """
        job = self.job(command, timeout, input, files, collect, output_limit, options)
        sandbox = self.take()
        try:
            process, limits = self.begin(sandbox, job)
            try:
                talk(process, limits, Sender(process.sock, job.input))
                result = self.conclude(sandbox, process, limits, job)
            finally:
                process.close()
        finally:
            self.give_back(sandbox)
        return result.check() if check else result

    # ---- the steps of a run, which both faces take ----

    @staticmethod
    def job(*asked: Any) -> Job:
        """Return a job of checked arguments. Raises InvalidArgument."""
        command, timeout, input, files, collect, output_limit, options = asked
        return Job(
            values.texts("command", command),
            None if input is None else values.data("input", input),
            None if timeout is None else values.seconds("timeout", timeout),
            files,
            values.texts("collect", collect),
            values.size("output_limit", output_limit),
            options,
        )

    def take(self) -> Running:
        """Return a sandbox that nobody has used, and have another one made."""
        with self._changed:
            while not self._ready or self._ready[0].lost:
                if self._ready:
                    self._spent.append(self._ready.popleft())
                    self._missing += 1
                    self._changed.notify_all()
                    continue
                if self._closed:
                    raise FailedPrecondition("cannot run: the pool is not open")
                if self._failure:
                    failure, self._failure = self._failure, None
                    self._missing += self._given_up  # it is tried again
                    self._given_up = 0
                    self._changed.notify_all()
                    raise failure
                self._changed.wait()
            sandbox = self._ready.popleft()
            self._missing += 1
            self._in_use += 1
            self._changed.notify_all()
            return sandbox

    def begin(self, sandbox: Container, job: Job) -> tuple[Exec, Limits]:
        """Write the files and start the command; its time begins."""
        sandbox.put_all(job.files)
        limits = Limits(job.timeout_s)
        stdin = job.input is not None
        return sandbox.start_exec(job.command, stdin, job.limit_bytes, job.options), limits

    def conclude(self, sandbox: Container, process: Exec, limits: Limits, job: Job) -> Result:
        """Return the result of a command that has ended, with what was to be collected."""
        result = ended(process, limits)
        found: dict[str, bytes] = {}
        for path in job.collect:
            try:
                found |= sandbox.get_all(path)
            except NotFound:
                pass  # it has not made it
        return result._replace(files=found) if found else result

    def give_back(self, sandbox: Running) -> None:
        """Have a used sandbox removed, in the background while the pool is open."""
        with self._changed:
            self._in_use -= 1
            if not self._closed:
                self._spent.append(sandbox)
                self._changed.notify_all()
                return
        sandbox.end()

    # ---- the keepers ----

    def _keep(self) -> None:
        """Remove what is used and make what is missing, until the pool closes."""
        while True:
            with self._changed:
                while not (self._closed or self._due() or self._spent):
                    self._changed.wait()
                if self._closed:
                    return
                spent = self._spent.popleft() if self._spent else None
                makes = self._due()
                self._missing -= makes
            if makes:
                self._make()
            if spent:
                spent.end()

    def _due(self) -> bool:
        """Tell whether another one is to be made now.

        It would take processor time from what runs, which is mostly short: while many are ready,
        it is made afterwards.
        """
        many = len(self._ready) > self._size // 2
        return self._missing > (self._in_use if many else 0)

    def _make(self) -> None:
        try:
            made = self._made()
        except Error as error:
            with self._changed:
                self._failure = error
                self._given_up += self._missing + 1
                self._missing = 0
                self._changed.notify_all()
            return
        with self._changed:
            self._ready.append(made)
            self._changed.notify_all()

    def _made(self) -> Running:
        sandbox = started(self._engine.connections, self._asked, self._engine.images.pull)
        try:
            sandbox.expect_exec()
        except BaseException:
            sandbox.end()
            raise
        return sandbox

    def _close_engine(self) -> None:
        if self._closes:
            self._engine.close()
