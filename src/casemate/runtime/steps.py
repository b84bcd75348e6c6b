"""The steps a plan is made of: each is one system call, or nearly so.

The table mirrors ``STEPS`` in shim/shim.h, in the same order; a test compares the two. Operands:
``w`` a register that the step writes, ``r`` one that it reads, ``n`` a number, ``s`` a string,
``b`` bytes, ``v`` a list of strings. Registers hold descriptors and have names here, numbers in
the shim.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import NamedTuple

Operand = int | str | bytes | tuple[str, ...]

SIGNATURES: dict[str, str] = {
    "attach": "s",
    "close": "r",
    "open": "wsn",
    "open_in": "wrsnn",
    "target": "wrsnn",
    "fsopen": "ws",
    "fsconfig": "rss",
    "fsmount": "wrn",
    "open_tree": "wrsn",
    "setattr": "rnnnn",
    "move_mount": "rr",
    "mount_at": "rs",
    "mount": "sssns",
    "mknod": "rsnnnn",
    "mkdir": "rsn",
    "symlink": "srs",
    "write": "rsb",
    "expect_fs": "rn",
    "mask": "rsrr",
    "readonly": "rs",
    "pivot": "r",
    "hostname": "s",
    "domainname": "s",
    "unshare": "n",
    "setns": "rn",
    "rlimit": "nnn",
    "chdir": "s",
    "groups": "b",
    "identity": "nn",
    "bounding": "n",
    "capabilities": "nnnn",
    "no_new_privs": "",
    "seccomp": "nb",
    "umask": "n",
    "oom_score_adj": "s",
    "stdio_owner": "n",
    "pty": "wrnn",
    "keyring": "",
    "init": "",
    "exec": "vv",
    "fsconfig_fd": "rsr",
    "idmapped": "rrn",
    "id_maps": "ss",
    "namespace": "ws",
    "own_root": "",
    "file_owner": "n",
    "tree_from": "wrs",
    "landlock": "wnnn",
    "landlock_allow": "rsn",
    "landlock_enter": "r",
}

#: Where the operands of each operation are registers.
_REGISTERS_AT = {
    name: tuple(i for i, kind in enumerate(signature) if kind in "wr")
    for name, signature in SIGNATURES.items()
}
_NUMBERS = {name: number for number, name in enumerate(SIGNATURES, 1)}
_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")

#: As many registers as the shim has; the first ones are for descriptors that come with the plan.
REGISTERS = 192
PASSED = 64


class Step(NamedTuple):
    """One step: the name of the operation and its operands in the order of its signature."""

    op: str
    operands: tuple[Operand, ...]


def step(op: str, *operands: Operand) -> Step:
    """Return a Step. Raises TypeError when the operands do not fit the operation's signature."""
    signature = SIGNATURES[op]
    if len(operands) != len(signature):
        raise TypeError(f"{op} takes {len(signature)} operands, not {len(operands)}")
    return Step(op, operands)


class Registers:
    """Gives each register's name a number, in the order of appearance.

    The first are ``passed`` along with the plan; ``own`` have appeared already.
    """

    def __init__(self, passed: Sequence[str] = (), own: Sequence[str] = ()) -> None:
        if len(passed) > PASSED:
            raise ValueError(f"a plan is passed more than {PASSED} descriptors")
        self._passed = {name: number for number, name in enumerate(passed)}
        self._own = {name: number for number, name in enumerate(own, PASSED)}

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the registers that were not passed."""
        return tuple(self._own)

    def __getitem__(self, name: str) -> int:
        if name in self._passed:
            return self._passed[name]
        number = self._own.setdefault(name, PASSED + len(self._own))
        if number >= REGISTERS:
            raise ValueError(f"a plan uses more than {REGISTERS - PASSED} registers")
        return number


def encode(steps: Sequence[Step], registers: Registers) -> bytes:
    """Return ``steps`` as the shim reads them."""
    out = []
    for item in steps:
        numbers = tuple(registers[str(item.operands[i])] for i in _REGISTERS_AT[item.op])
        out.append((_encoded if item.op in _LARGE else _kept)(item, numbers))
    return b"".join(out)


@functools.lru_cache(16)
def encode_first(steps: tuple[Step, ...], passed: tuple[str, ...]) -> tuple[bytes, tuple[str, ...]]:
    """Return ``steps`` as the shim reads them, and the registers that appear in them.

    For steps that many plans begin with: kept, since to encode them anew takes 0.4 ms.
    """
    registers = Registers(passed)
    return encode(steps, registers), registers.own


def _encoded(item: Step, numbers: tuple[int, ...]) -> bytes:
    out = bytearray(_U64.pack(_NUMBERS[item.op]))
    remaining = iter(numbers)
    for kind, value in zip(SIGNATURES[item.op], item.operands, strict=True):
        if kind in "wr":
            out += _U64.pack(next(remaining))
        else:
            _encode_operand(out, value)
    return bytes(out)


#: Most steps of a plan are those of every other plan: encoding all of them anew takes 4 ms.
_kept = functools.lru_cache(4096)(_encoded)
#: Not kept: filters are large, and an environment may hold secrets.
_LARGE = frozenset({"exec", "seccomp"})


def _encode_operand(out: bytearray, value: Operand) -> None:
    if isinstance(value, int):
        out += _U64.pack(value & 0xFFFFFFFFFFFFFFFF)
    elif isinstance(value, tuple):
        out += _U64.pack(len(value))
        for text in value:
            _encode_bytes(out, _bytes(text))
    else:
        _encode_bytes(out, value if isinstance(value, bytes) else _bytes(value))


def _bytes(text: str) -> bytes:
    # Arguments and paths may hold any bytes but NUL; Python keeps such bytes as surrogates.
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise ValueError("embedded NUL")
    return raw


def _encode_bytes(out: bytearray, raw: bytes) -> None:
    out += _U32.pack(len(raw))
    out += raw
    out += b"\0"
