"""From policies to the shortest fast BPF program.

The call numbers of an ABI are cut into ranges of one verdict each and found by binary search;
only calls whose arguments matter read them. Outside of those the program uses nothing but what
the kernel's action cache can evaluate ahead of time, so an unconditional ALLOW costs nothing.

Source: linux/audit.h; linux kernel/seccomp.c seccomp_is_const_allow.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from casemate.linux.seccomp import ENOSYS, KILL_PROCESS, Condition, Policy, Rule, strictness
from casemate.linux.seccomp_program import AND, AT_LEAST, EQUAL, GREATER, LOAD, Program
from casemate.linux.syscalls import PRIVATE, X32_BIT

# AUDIT_ARCH_*; an x32 call arrives as an x86_64 one with a bit of its number set.
AUDIT_ARCH: dict[str, int] = {
    "x86_64": 0xC000_003E,
    "i386": 0x4000_0003,
    "aarch64": 0xC000_00B7,
    "arm": 0x4000_0028,
}

# Byte offsets in struct seccomp_data; every supported architecture is little endian.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_WORD = 0xFFFF_FFFF

# One number may differ from the range around it for the price of one comparison instead of two.
_MAX_EXCEPTIONS = 2


class _Leaf(NamedTuple):
    """What happens at a number: rules in the order of testing, then a verdict."""

    rules: tuple[Rule, ...]
    verdict: int


class _Range(NamedTuple):
    """All numbers from ``start`` up to the next range, but for the exceptions."""

    start: int
    leaf: _Leaf
    exceptions: tuple[tuple[int, _Leaf], ...] = ()


def assemble(policies: Sequence[Policy], *, foreign: int = KILL_PROCESS) -> bytes:
    """Return the program for ``policies``, at most one for each ABI, as struct sock_filter[].

    ``foreign`` is the verdict for every other architecture. x32 calls without a policy of their
    own get ENOSYS, the answer of a kernel built without x32. Raises KeyError for an unknown ABI,
    ValueError when the program is longer than the kernel takes.
    """
    by_abi = {policy.abi: policy for policy in policies}
    x32 = by_abi.pop("x32", None)
    if x32 and "x86_64" not in by_abi:
        by_abi["x86_64"] = Policy("x86_64", foreign, foreign, {})
    assembler = _Assembler()
    entry = assembler.program.returns(foreign)
    for abi, policy in reversed(by_abi.items()):
        ranges = _ranges(policy, 0)
        if abi == "x86_64":
            upper = _ranges(x32, X32_BIT) if x32 else [_Range(X32_BIT, _Leaf((), ENOSYS))]
            ranges += upper[upper[0].leaf == ranges[-1].leaf :]
        search = assembler.search(_folded(ranges))
        number = assembler.program.then(LOAD, _NUMBER, search)
        entry = assembler.program.branch(EQUAL, AUDIT_ARCH[abi], number, entry)
    return assembler.program.packed(assembler.program.then(LOAD, _ARCHITECTURE, entry))


def _ranges(policy: Policy, base: int) -> list[_Range]:
    default, unknown = _Leaf((), policy.default), _Leaf((), policy.unknown)
    highest = max((n for n in policy.rules if n - base < PRIVATE), default=1 << 32)
    constant: dict[int, _Leaf] = {}
    ranges: list[_Range] = []
    at = base
    for number in sorted(policy.rules):
        rules = policy.rules[number]
        if number > at:
            _append(ranges, at, default if at <= highest else unknown)
        if len(rules) == 1 and not rules[0].conditions:
            verdict = rules[0].verdict
            _append(ranges, number, constant.setdefault(verdict, _Leaf((), verdict)))
        else:
            _append(ranges, number, _leaf(rules, policy.default))
        at = number + 1
    _append(ranges, at, default if at <= highest else unknown)
    return ranges


def _append(ranges: list[_Range], start: int, leaf: _Leaf) -> None:
    if not ranges or ranges[-1].leaf != leaf:
        ranges.append(_Range(start, leaf))


def _leaf(rules: Sequence[Rule], default: int) -> _Leaf:
    ordered = sorted(rules, key=lambda rule: strictness(rule.verdict))
    final = default
    for place, rule in enumerate(ordered):
        if not rule.conditions:
            final = rule.verdict
            del ordered[place:]
            break
    while ordered and ordered[-1].verdict == final:
        ordered.pop()
    return _Leaf(tuple(ordered), final)


def _folded(ranges: Sequence[_Range]) -> list[_Range]:
    folded: list[_Range] = []
    place = 0
    while place < len(ranges):
        start, leaf, _ = ranges[place]
        exceptions: list[tuple[int, _Leaf]] = []
        while len(exceptions) < _MAX_EXCEPTIONS and _is_exception(ranges, place + 1, leaf):
            exceptions.append((ranges[place + 1].start, ranges[place + 1].leaf))
            place += 2
        folded.append(_Range(start, leaf, tuple(exceptions)))
        place += 1
    return folded


def _is_exception(ranges: Sequence[_Range], place: int, around: _Leaf) -> bool:
    return (
        place + 1 < len(ranges)
        and ranges[place + 1].start == ranges[place].start + 1
        and ranges[place + 1].leaf == around
    )


def _comparison(rule: Rule) -> tuple[int, ...] | Rule:
    """Return what rules share whose only condition compares one argument for equality."""
    if len(rule.conditions) == 1 and rule.conditions[0].op == "EQ":
        argument, _, value, _ = rule.conditions[0]
        return rule.verdict, argument, value >> 32
    return rule


class _Assembler:
    """Puts searches, leaves and conditions into one program; equal leaves are shared."""

    def __init__(self) -> None:
        self.program = Program()
        self._leaves: dict[_Leaf, int] = {}

    def search(self, ranges: Sequence[_Range]) -> int:
        """Return the label of a binary search for the number in A."""
        if len(ranges) > 1:
            middle = len(ranges) // 2
            upper = self.search(ranges[middle:])
            lower = self.search(ranges[:middle])
            return self.program.branch(AT_LEAST, ranges[middle].start, upper, lower)
        label = self._leaf(ranges[0].leaf)
        for number, leaf in ranges[0].exceptions:
            label = self.program.branch(EQUAL, number, self._leaf(leaf), label)
        return label

    def _leaf(self, leaf: _Leaf) -> int:
        if not leaf.rules:
            return self.program.returns(leaf.verdict)
        if leaf not in self._leaves:
            miss = self.program.returns(leaf.verdict)
            self._leaves[leaf] = self._rules(leaf.rules, miss)
        return self._leaves[leaf]

    def _rules(self, rules: Sequence[Rule], miss: int) -> int:
        """Return the label of a test of ``rules``; those that compare one word share its load."""
        groups = [(key, list(group)) for key, group in itertools.groupby(rules, _comparison)]
        for key, group in reversed(groups):
            hit = self.program.returns(group[0].verdict)
            if isinstance(key, Rule) or len(group) == 1:
                miss = self._all(group[0].conditions, hit, miss)
            else:
                values = [rule.conditions[0].value for rule in group]
                miss = self._any(group[0].conditions[0].argument, values, hit, miss)
        return miss

    def _all(self, conditions: Sequence[Condition], hit: int, miss: int) -> int:
        for condition in reversed(conditions):
            hit = self._condition(condition, hit, miss)
        return hit

    def _any(self, argument: int, values: Sequence[int], hit: int, miss: int) -> int:
        label = miss
        for value in reversed(values):
            label = self.program.branch(EQUAL, value & _WORD, hit, label)
        low = self.program.then(LOAD, _ARGUMENTS + 8 * argument, label)
        same = self.program.branch(EQUAL, values[0] >> 32, low, miss)
        return self.program.then(LOAD, _ARGUMENTS + 8 * argument + 4, same)

    def _condition(self, condition: Condition, hit: int, miss: int) -> int:
        argument, op, value, mask = condition
        match op:
            case "EQ":
                return self._equal(argument, value, _WORD << 32 | _WORD, hit, miss)
            case "NE":
                return self._equal(argument, value, _WORD << 32 | _WORD, miss, hit)
            case "MASKED_EQ":
                return self._equal(argument, value, mask, hit, miss)
            case "GT":
                return self._above(GREATER, argument, value, hit, miss)
            case "GE":
                return self._above(AT_LEAST, argument, value, hit, miss)
            case "LE":
                return self._above(GREATER, argument, value, miss, hit)
            case "LT":
                return self._above(AT_LEAST, argument, value, miss, hit)

    def _equal(self, argument: int, value: int, mask: int, hit: int, miss: int) -> int:
        if value & ~mask:
            return miss
        for half in (0, 1):
            part = mask >> 32 * half & _WORD
            if not part:
                continue
            hit = self.program.branch(EQUAL, value >> 32 * half & _WORD, hit, miss)
            if part != _WORD:
                hit = self.program.then(AND, part, hit)
            hit = self.program.then(LOAD, _ARGUMENTS + 8 * argument + 4 * half, hit)
        return hit

    def _above(self, code: int, argument: int, value: int, hit: int, miss: int) -> int:
        low, high = _ARGUMENTS + 8 * argument, _ARGUMENTS + 8 * argument + 4
        program = self.program
        low_half = program.then(LOAD, low, program.branch(code, value & _WORD, hit, miss))
        same_high = program.branch(EQUAL, value >> 32, low_half, miss)
        return program.then(LOAD, high, program.branch(GREATER, value >> 32, hit, same_high))
