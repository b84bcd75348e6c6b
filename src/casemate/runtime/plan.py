"""A plan: what the shim executes to put one container (or one exec) together.

``ahead`` steps run in the room before anybody knows what will run in it; ``outside`` and ``before``
steps run in the supervisor for the waiting room; ``inside`` steps run in the room and end with
``exec``.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from casemate.runtime.describe import line
from casemate.runtime.steps import SIGNATURES, Registers, Step, encode, encode_first

_HEADER = struct.Struct("<IIIIIIQII")
_MAGIC = 0x4E504D43
_VERSION = 2

FLAG_TTY = 1
FLAG_STDIN = 2
FLAG_STDIN_ONCE = 4
FLAG_LOG = 8


class Stdio(NamedTuple):
    """What the supervisor does with the streams; ``log_bytes`` 0 never rotates, ``log`` off keeps
    none. ``owner`` is the user, by its id on the host, whose pipes they are.
    """

    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    log: bool = True
    log_bytes: int = 0
    log_files: int = 0
    owner: int = 0

    def flags(self) -> int:
        """Return the bits that the plan's header carries."""
        return (
            FLAG_TTY * self.tty
            | FLAG_STDIN * self.stdin
            | FLAG_STDIN_ONCE * self.stdin_once
            | FLAG_LOG * self.log
        )


class Plan(NamedTuple):
    """Steps in order, the descriptors they start from, and how stdio is kept.

    ``outside`` runs before anything in the room, ``before`` between ``ahead`` and ``inside``.
    ``registers`` names the descriptors that are passed along with the plan, in order; ``made``
    those that ``before`` writes for the room. ``namespaces`` are the CLONE_NEW flags that the
    room is made with. ``divides`` is the host's id of who may divide its part of the cgroups.
    """

    inside: tuple[Step, ...]
    outside: tuple[Step, ...] = ()
    ahead: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()
    registers: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    stdio: Stdio = Stdio()
    namespaces: int = 0
    divides: int | None = None

    def ahead_file(self) -> bytes:
        """Return what is executed before the start: ``outside``, then ``ahead`` in the room."""
        ahead, _ = encode_first(self.ahead, self.passed)
        return pack(self._by_supervisor(self.outside), ahead, NO_STDIO)

    def start_file(self) -> bytes:
        """Return what is executed at the start, after the ahead file, in the same registers."""
        return pack(self._by_supervisor(self.before), self._in_room(self.inside), self.stdio)

    def open_start_file(self) -> OpenStartFile:
        """Return the start file without its last step."""
        inside = self._in_room(self.inside[:-1])
        return OpenStartFile(self._by_supervisor(self.before), inside, self.stdio)

    def whole_file(self) -> bytes:
        """Return everything at once: for an exec, which has no room before it starts."""
        ahead, own = encode_first(self.ahead, self.passed)
        inside = ahead + encode(self.inside, Registers(self.passed, own))
        return pack(self._by_supervisor((*self.outside, *self.before)), inside, self.stdio)

    @property
    def passed(self) -> tuple[str, ...]:
        """The registers that the room has from the beginning."""
        return (*self.registers, *self.made)

    def _in_room(self, steps: tuple[Step, ...]) -> bytes:
        _, own = encode_first(self.ahead, self.passed)
        return encode(steps, Registers(self.passed, own))

    def _by_supervisor(self, steps: tuple[Step, ...]) -> bytes:
        # Another process: beside those that are passed on, its registers are its own.
        return encode(steps, Registers(self.passed))

    def describe(self) -> str:
        """Return the plan for people, one step a line."""
        lines = []
        for title, steps in (
            ("outside, by the supervisor", self.outside),
            ("ahead, in the room: the same for every container", self.ahead),
            ("before the start, by the supervisor", self.before),
            ("at the start, in the room", self.inside),
        ):
            if steps:
                lines.append(f"# {title}")
                lines.extend(f"{number:4}  {line(item)}" for number, item in enumerate(steps))
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values; bytes are hex."""
        return {
            "namespaces": self.namespaces,
            "registers": list(self.passed),
            "stdio": self.stdio._asdict(),
            "outside": [_plain(s) for s in self.outside],
            "ahead": [_plain(s) for s in self.ahead],
            "before": [_plain(s) for s in self.before],
            "inside": [_plain(s) for s in self.inside],
        }


class OpenStartFile(NamedTuple):
    """A start file whose last step is to come: the exec, which takes no register."""

    before: bytes
    inside: bytes
    stdio: Stdio

    def ended(self, last: Step) -> bytes:
        """Return the whole file with ``last`` at its end."""
        return pack(self.before, self.inside + encode((last,), Registers()), self.stdio)

    def replaced(self, old: bytes, new: bytes) -> OpenStartFile:
        """Return the file with ``new``, of the same length, wherever ``old`` is."""
        if len(old) != len(new):
            raise ValueError("texts of different lengths: the lengths before them would be wrong")
        return self._replace(
            before=self.before.replace(old, new), inside=self.inside.replace(old, new)
        )


NO_STDIO = Stdio(log=False)


def pack(outside: bytes, inside: bytes, stdio: Stdio) -> bytes:
    """Return a plan file of encoded step lists. Source: shim.h, struct plan_header."""
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        len(outside),
        len(inside),
        stdio.flags(),
        stdio.log_files,
        stdio.log_bytes,
        stdio.owner,
        0,
    )
    return header + outside + inside


def _plain(item: Step) -> dict[str, Any]:
    operands = [o.hex() if isinstance(o, bytes) else o for o in item.operands]
    return {"op": item.op, "operands": operands, "signature": SIGNATURES[item.op]}
