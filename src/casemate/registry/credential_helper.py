"""Docker's credential helpers: programs named ``docker-credential-<name>`` that keep secrets.

A helper gets the registry on its standard input and answers JSON on its standard output. It runs
with an environment of HOME and PATH only, in a session of its own, with limits on time and output.
Source: docker/docker-credential-helpers README, section Development.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from typing import NamedTuple

import msgspec

from casemate.errors import InvalidArgument, Unauthenticated, Unavailable

#: Where helpers are looked for; never the caller's PATH.
SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_OUTPUT = 64 << 10
_NOT_FOUND = "credentials not found in native keychain"


class HelperPlace(NamedTuple):
    """Where helpers are found and run."""

    home: str
    directories: tuple[str, ...] = SEARCH_PATH
    timeout_s: float = 30.0


class Answer(msgspec.Struct, frozen=True, rename="pascal"):
    """What a helper knows; the user name ``<token>`` marks an identity token."""

    username: str = ""
    secret: str = ""


class Helper:
    """The helper ``name``. Raises InvalidArgument for a name that could be a path."""

    def __init__(self, name: str, place: HelperPlace) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f"invalid credential helper name {name[:80]!r}")
        self._name = name
        self._place = place

    def get(self, server: str) -> Answer | None:
        """Ask for the credentials of ``server``; None when the helper has none.

        Raises Unavailable when there is no such helper or it fails, Unauthenticated when it
        answers nonsense.
        """
        status, output = self._run(server)
        if status != 0:
            text = output.decode(errors="replace").strip()
            if _NOT_FOUND in text:
                return None
            shown = "".join(c if c.isprintable() else " " for c in text[:200])
            raise Unavailable(f"credential helper {self._name!r} failed for {server}: {shown}")
        try:
            return msgspec.json.decode(output, type=Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            # The answer may hold the secret: it is not shown.
            raise Unauthenticated(
                f"credential helper {self._name!r} gave no valid answer for {server}"
            ) from None

    def _program(self) -> str:
        for directory in self._place.directories:
            path = f"{directory}/docker-credential-{self._name}"
            if directory.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise Unavailable(
            f"credential helper 'docker-credential-{self._name}' is not installed",
            hint=f"it is looked for in {', '.join(self._place.directories)}",
        )

    def _run(self, server: str) -> tuple[int, bytes]:
        environment = {"HOME": self._place.home, "PATH": ":".join(self._place.directories)}
        try:
            child = subprocess.Popen(
                [self._program(), "get"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"cannot run credential helper {self._name!r}: {error.strerror}"
            ) from error
        with child:
            try:
                output = self._converse(child, server.encode())
                return child.wait(self._place.timeout_s), output
            except subprocess.TimeoutExpired:
                raise self._too_slow() from None
            finally:
                if child.returncode is None:
                    os.killpg(child.pid, signal.SIGKILL)

    def _converse(self, child: subprocess.Popen[bytes], question: bytes) -> bytes:
        """Hand over ``question``, shorter than a pipe's buffer, and read the bounded answer."""
        assert child.stdin is not None and child.stdout is not None
        try:
            with child.stdin as pipe:
                pipe.write(question)
        except BrokenPipeError:
            pass
        deadline = time.monotonic() + self._place.timeout_s
        output = bytearray()
        readable = select.poll()
        readable.register(child.stdout, select.POLLIN)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not readable.poll(left_s * 1000):
                raise self._too_slow()
            piece = os.read(child.stdout.fileno(), _MAX_OUTPUT)
            if not piece:
                return bytes(output)
            output += piece
            if len(output) > _MAX_OUTPUT:
                raise Unauthenticated(
                    f"credential helper {self._name!r} answered more than {_MAX_OUTPUT} bytes"
                )

    def _too_slow(self) -> Unavailable:
        return Unavailable(
            f"credential helper {self._name!r} did not answer in {self._place.timeout_s:g} s"
        )
