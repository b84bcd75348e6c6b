"""The values of a seccomp filter: verdicts, conditions on arguments, one policy for each ABI.

``seccomp_assembler.assemble`` turns policies into the program for SECCOMP_SET_MODE_FILTER.
Source: linux/seccomp.h; Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

# Verdicts; the low 16 bits carry an errno or a message to the tracer.
KILL_PROCESS = 0x8000_0000
KILL_THREAD = 0x0000_0000
TRAP = 0x0003_0000
ERRNO = 0x0005_0000
TRACE = 0x7FF0_0000
LOG = 0x7FFC_0000
ALLOW = 0x7FFF_0000

ENOSYS = ERRNO | 38
MAX_ERRNO = 4095  # linux/err.h; the kernel lowers anything above

FLAG_TSYNC = 1
FLAG_LOG = 2
FLAG_SPEC_ALLOW = 4

MAX_ARGUMENTS = 6

Operator = Literal["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]


class Condition(NamedTuple):
    """``arguments[argument] op value``, unsigned in 64 bits; only MASKED_EQ looks at the mask."""

    argument: int
    op: Operator
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


class Rule(NamedTuple):
    """``verdict`` for a call of which all ``conditions`` hold."""

    verdict: int
    conditions: tuple[Condition, ...] = ()


class Policy(NamedTuple):
    """What happens to the calls of one ABI (see ``syscalls.numbers``).

    ``rules`` by call number: of the rules that match the strictest decides, of equally strict
    ones the first. ``default`` is the verdict where none matches, ``unknown`` the one of numbers
    above the highest that has rules.
    """

    abi: str
    default: int
    unknown: int
    rules: Mapping[int, Sequence[Rule]]


def strictness(verdict: int) -> int:
    """Return the rank of a verdict's action; the kernel, too, lets the lowest win."""
    action = verdict & 0xFFFF_0000
    return action - (1 << 32) if action == KILL_PROCESS else action
