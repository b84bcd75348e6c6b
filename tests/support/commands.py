"""Commands of people: docker's own and ours, with pipes or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

LIMIT_S = 30.0


class Said(NamedTuple):
    """What a command ended with and said."""

    code: int
    out: str
    err: str


class Command:
    """``docker`` or ``casemate``, talking to the engine at ``socket``."""

    def __init__(self, name: str, socket: str, config: str) -> None:
        self.name = name
        program = [shutil.which("docker") or "docker"] if name == "docker" else CASEMATE
        self.words = [*program, "-H", f"unix://{socket}"]
        self.environment = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": config, "HOME": config}

    def __call__(self, *words: str, stdin: bytes | None = None, code: int = 0) -> str:
        """Run to the end and return stdout; the exit code must be ``code``."""
        said = self.run(*words, stdin=stdin)
        assert said.code == code, said
        return said.out

    def run(self, *words: str, stdin: bytes | None = None) -> Said:
        """Run to the end."""
        done = subprocess.run(
            [*self.words, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            env=self.environment,
            timeout=LIMIT_S,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def raw(self, *words: str, stdin: bytes = b"") -> bytes:
        """Run to the end and return the bytes of stdout."""
        done = subprocess.run(
            [*self.words, *words],
            input=stdin,
            capture_output=True,
            check=True,
            env=self.environment,
            timeout=LIMIT_S,
        )
        return done.stdout

    @contextlib.contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run beside the test, with pipes."""
        with subprocess.Popen(
            [*self.words, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    @contextlib.contextmanager
    def at_terminal(self, *words: str, rows: int = 24, columns: int = 80) -> Iterator[Terminal]:
        """Run at a terminal of the given size."""
        terminal = Terminal([*self.words, *words], {**self.environment, "TERM": "xterm"})
        terminal.resize(rows, columns)
        try:
            yield terminal
        finally:
            terminal.close()


# The package of this checkout, whatever is installed.
CASEMATE = [
    sys.executable,
    "-c",
    "import sys; from casemate.cli.main import main; sys.exit(main())",
]


class Terminal:
    """A pseudo-terminal with a command at it; we are the one who types and looks."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.child = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._theirs = theirs
        self.said = b""

    def type(self, text: str) -> None:
        """Type ``text``."""
        os.write(self._ours, text.encode())

    def until(self, text: str) -> str:
        """Read until ``text`` is shown; return and forget all up to it."""
        wanted, deadline = text.encode(), time.monotonic() + LIMIT_S
        while wanted not in self.said:
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"there was {self.said!r}"
        before, _, self.said = self.said.partition(wanted)
        return (before + wanted).decode(errors="replace")

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size, as a window does."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGWINCH)

    def is_raw(self) -> bool:
        """Whether keys go through as they are: not echoed, not collected into lines."""
        flags: int = termios.tcgetattr(self._theirs)[3]
        return not flags & (termios.ECHO | termios.ICANON)

    def waiting_input(self) -> int:
        """Return how many bytes are typed at the terminal and not read by the command."""
        answer = fcntl.ioctl(self._theirs, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + LIMIT_S
        while self.child.poll() is None:
            assert time.monotonic() < deadline, f"still running; there was {self.said!r}"
            self._read(0.05)
        while self._read(0):
            pass
        return self.child.returncode

    def close(self) -> None:
        """Take the terminal away."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, limit_s: float) -> bool:
        if not select.select([self._ours], [], [], limit_s)[0]:
            return False
        self.said += os.read(self._ours, 1 << 16)
        return True
