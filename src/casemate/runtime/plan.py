"""A plan: what the shim executes to put one container (or one exec) together.

``ahead`` steps run in the room before anybody knows what will run in it; ``outside`` steps run in
the supervisor for the waiting room; ``inside`` steps run in the room and end with ``exec``.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from casemate.runtime.describe import line
from casemate.runtime.steps import SIGNATURES, Registers, Step, assign, encode, encode_first

_HEADER = struct.Struct("<IIIIIIQ")
_MAGIC = 0x4E504D43
_VERSION = 1

FLAG_TTY = 1
FLAG_STDIN = 2
FLAG_STDIN_ONCE = 4
FLAG_LOG = 8


class Stdio(NamedTuple):
    """What the supervisor does with the streams; ``log_bytes`` 0 never rotates, ``log`` off keeps
    none.
    """

    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    log: bool = True
    log_bytes: int = 0
    log_files: int = 0

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

    ``outside`` runs before anything inside. ``registers`` names the descriptors that are passed
    along with the plan, in order. ``namespaces`` are the CLONE_NEW flags that the room is made
    with.
    """

    inside: tuple[Step, ...]
    outside: tuple[Step, ...] = ()
    ahead: tuple[Step, ...] = ()
    registers: tuple[str, ...] = ()
    stdio: Stdio = Stdio()
    namespaces: int = 0

    def ahead_file(self) -> bytes:
        """Return what is executed before the start: ``outside``, then ``ahead`` in the room."""
        ahead, own = encode_first(self.ahead, self.registers)
        outside = encode(self.outside, Registers(self.registers, own))
        return pack(outside, ahead, NO_STDIO)

    def start_file(self) -> bytes:
        """Return what is executed at the start, after the ahead file, in the same registers."""
        _, own = encode_first(self.ahead, self.registers)
        registers = Registers(self.registers, own)
        assign(self.outside, registers)
        return pack(b"", encode(self.inside, registers), self.stdio)

    def whole_file(self) -> bytes:
        """Return everything at once: for an exec, which has no room before it starts."""
        ahead, own = encode_first(self.ahead, self.registers)
        registers = Registers(self.registers, own)
        outside = encode(self.outside, registers)
        return pack(outside, ahead + encode(self.inside, registers), self.stdio)

    def describe(self) -> str:
        """Return the plan for people, one step a line."""
        lines = []
        for title, steps in (
            ("outside, by the supervisor", self.outside),
            ("ahead, in the room: the same for every container", self.ahead),
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
            "registers": list(self.registers),
            "stdio": self.stdio._asdict(),
            "outside": [_plain(s) for s in self.outside],
            "ahead": [_plain(s) for s in self.ahead],
            "inside": [_plain(s) for s in self.inside],
        }


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
    )
    return header + outside + inside


def _plain(item: Step) -> dict[str, Any]:
    operands = [o.hex() if isinstance(o, bytes) else o for o in item.operands]
    return {"op": item.op, "operands": operands, "signature": SIGNATURES[item.op]}
