"""Signals as something to wait for, beside descriptors. Imports only the C part of ``signal``.

Source: CPython, signal.set_wakeup_fd.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

#: Not forwarded: those that nobody can catch, those that tell of this process's own state, and a
#: change of the window, which reaches a container through its terminal.
_OWN = frozenset(
    getattr(_signal, f"SIG{name}")
    for name in ("KILL", "STOP", "CHLD", "PIPE", "URG", "SEGV", "BUS", "FPE", "ILL", "TTIN",
                 "TTOU", "WINCH")
)  # fmt: skip
#: The C library keeps those between the two ranges for itself.
_ALL = (*range(1, 32), *range(_signal.SIGRTMIN, _signal.SIGRTMAX + 1))
FORWARDED = tuple(number for number in _ALL if number not in _OWN)
RESIZED = int(_signal.SIGWINCH)


class SignalPipe:
    """Catches ``numbers`` while it is open; ``descriptor`` becomes readable when one arrives."""

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._before: dict[int, Any] = {}
        self.descriptor = -1
        self._writing = -1

    def __enter__(self) -> SignalPipe:
        self.descriptor, self._writing = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writing, False)
        _signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = _signal.signal(number, _caught)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not set from Python.
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.set_wakeup_fd(-1)
        os.close(self.descriptor)
        os.close(self._writing)

    def arrived(self) -> list[int]:
        """Return the signals that have arrived, without waiting."""
        try:
            return [n for n in os.read(self.descriptor, 256) if n in self._before]
        except BlockingIOError:
            return []


def name_of(number: int) -> str:
    """Return a signal as the API takes it: its name without SIG, or its number."""
    for name in dir(_signal):
        known = name.startswith("SIG") and name[3:4] != "_"
        if known and getattr(_signal, name) == number:
            return name[3:]
    return str(number)


def _caught(number: int, _: Any) -> None:
    """Do nothing: the number is in the pipe already."""
