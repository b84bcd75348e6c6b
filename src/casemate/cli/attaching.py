"""A terminal or a pipe connected to a container: streams, window, signals, detach keys."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.output import OUT, err, is_terminal, terminal_size
from casemate.cli.signals import FORWARDED, RESIZED, SignalPipe, name_of
from casemate.cli.stream import Streams
from casemate.cli.terminal import STDIN, RawTerminal
from casemate.errors import Error
from casemate.http import detachkeys
from casemate.http.detachkeys import detach_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from types import TracebackType
    from typing import Any

    from casemate.cli.session import Session

_ENDING = (2, 15)  # SIGINT and SIGTERM
_PATIENCE = 3


class Attached:
    """What stays the same of one attachment.

    ``resource`` is the path of the container or exec; ``forwards`` tells whether signals go to the
    container. Use as a context: signals are caught while it is open.
    """

    def __init__(
        self, session: Session, resource: str, *, tty: bool, forwards: bool, keys: str = ""
    ) -> None:
        self._engine = session.engine
        self._resource = resource
        self._tty = tty
        self._keys = keys or session.config.text("detachKeys")
        self._signals = SignalPipe((*(FORWARDED if forwards else ()), RESIZED))
        self._terminal = RawTerminal(wanted=False)
        self._connection: tuple[_socket.socket, bytes] | None = None
        self._asked_to_end = 0

    def __enter__(self) -> Attached:
        self._signals.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._terminal.restore()
        self._signals.__exit__(kind, error, trace)
        if self._connection:
            self._connection[0].close()

    def connect(self, path: str, document: Any = None) -> None:
        """Make the connection that ``copy`` copies from and to. Raises what the engine reports."""
        sock, early, _ = self._engine.hijack(path, document)
        self._connection = sock, early

    def connect_container(self, *, stdin: bool, stdout: bool = True, stderr: bool = True) -> None:
        """Make the connection to a container's streams."""
        self.connect(
            path_of(
                self._resource,
                "attach",
                detachKeys=self._keys,
                stderr="1" if stderr else "",
                stdin="1" if stdin else "",
                stdout="1" if stdout else "",
                stream="1",
            )
        )

    def copy(self, *, stdin: bool, listens: bool = True, until: int = -1) -> bool:
        """Copy streams until the end; return False when the user detached."""
        assert self._connection
        if self._tty and is_terminal(OUT):
            self.resize()
        streams = Streams(
            *self._connection,
            stdin=stdin,
            tty=self._tty,
            keys=self._key_bytes(),
            listens=listens,
        )
        self._terminal = RawTerminal(wanted=stdin and self._tty)
        with self._terminal:
            return streams.copy(self._signals, self._on_signal, until)

    def resize(self, more: int = 0) -> None:
        """Tell the container's terminal the size of ours, enlarged by ``more``."""
        rows, columns = terminal_size()
        if not rows and not columns:
            return
        size = {"h": str(rows + more), "w": str(columns + more)}
        try:
            self._engine.post(path_of(self._resource, "resize", **size))
        except Error:
            pass  # it has ended in between

    def _key_bytes(self) -> bytes:
        try:
            return detach_keys(self._keys or detachkeys.DEFAULT)
        except ValueError as error:
            err(f"invalid detach escape keys, using default: {error}\n")
            return detach_keys(detachkeys.DEFAULT)

    def _on_signal(self, number: int) -> None:
        if number == RESIZED:
            if self._tty:
                self.resize()
            return
        if number in _ENDING:
            self._asked_to_end += 1
            if self._asked_to_end >= _PATIENCE:
                self._terminal.restore()
                raise Exit(1, "\ngot 3 SIGTERM/SIGINTs, forcefully exiting")
        try:
            self._engine.post(path_of(self._resource, "kill", signal=name_of(number)))
        except Error:
            pass  # not running yet, or not any more


def check_terminal(stdin: bool, tty: bool) -> None:
    """Raise Exit when a container's terminal is to be fed from something else."""
    if tty and stdin and not is_terminal(STDIN):
        raise Exit(1, "the input device is not a TTY")
