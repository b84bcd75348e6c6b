"""The terminal that we stand on: raw mode, and the keys that leave a container."""

from __future__ import annotations

import termios

from casemate.cli.output import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

STDIN = 0
_INPUT = (
    termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
    | termios.IGNCR | termios.ICRNL | termios.IXON
)  # fmt: skip
_LOCAL = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN


class RawTerminal:
    """Standard input in raw mode while it is open; nothing happens when it is no terminal."""

    def __init__(self, wanted: bool = True) -> None:
        self._wanted = wanted
        self._before: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> RawTerminal:
        if self._wanted and is_terminal(STDIN):
            self._before = termios.tcgetattr(STDIN)
            termios.tcsetattr(STDIN, termios.TCSANOW, _raw(self._before))
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the terminal its former mode back; a second call does nothing."""
        before, self._before = self._before, None
        if before is None:
            return
        try:
            termios.tcsetattr(STDIN, termios.TCSANOW, before)
        except termios.error:
            pass  # it is gone


class QuietTerminal:
    """Standard input without echo while it is open, for a password."""

    def __enter__(self) -> QuietTerminal:
        self._before = termios.tcgetattr(STDIN)
        quiet = list(self._before)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(STDIN, termios.TCSAFLUSH, quiet)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        termios.tcsetattr(STDIN, termios.TCSAFLUSH, self._before)


class KeyWatch:
    """Looks for the detach keys in what is typed; what may be their beginning is held back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what may go on, and whether the keys were typed."""
        if not self._keys:
            return data, False
        data = self._held + data
        found = data.find(self._keys)
        if found >= 0:
            return data[:found], True
        keep = next(
            n
            for n in range(min(len(self._keys) - 1, len(data)), -1, -1)
            if data.endswith(self._keys[:n])
        )
        self._held = data[len(data) - keep :]
        return data[: len(data) - keep], False


def _raw(before: list[int | list[bytes | int]]) -> list[int | list[bytes | int]]:
    """Return the mode that ``cfmakeraw`` makes of ``before``."""
    incoming, outgoing, control, local, in_speed, out_speed, characters = before
    assert isinstance(characters, list)
    characters = list(characters)
    characters[termios.VMIN] = 1
    characters[termios.VTIME] = 0
    return [
        incoming & ~_INPUT,  # type: ignore[operator]
        outgoing & ~termios.OPOST,  # type: ignore[operator]
        control & ~(termios.CSIZE | termios.PARENB) | termios.CS8,  # type: ignore[operator]
        local & ~_LOCAL,  # type: ignore[operator]
        in_speed,
        out_speed,
        characters,
    ]
