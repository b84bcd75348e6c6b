from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.linux import seccomp
from casemate.linux.seccomp import ALLOW, ENOSYS, ERRNO, KILL_PROCESS, Condition, Policy, Rule
from casemate.linux.seccomp_assembler import AUDIT_ARCH, assemble
from casemate.linux.syscalls import X32_BIT
from unit.linux import bpf

FULL = (1 << 64) - 1
OPS = ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")
EDGES = (
    0,
    1,
    7,
    38,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 32,
    (1 << 32) + 38,
    FULL - 1,
    FULL,
)

words = st.sampled_from(EDGES) | st.integers(0, FULL)
conditions = st.builds(Condition, st.integers(0, 5), st.sampled_from(OPS), words, words)
verdicts = st.sampled_from(
    (ALLOW, ERRNO | 1, ERRNO | 13, ENOSYS, KILL_PROCESS, seccomp.KILL_THREAD, seccomp.LOG)
)
rules = st.builds(Rule, verdicts, st.lists(conditions, max_size=3).map(tuple))
numbers = st.integers(0, 500) | st.sampled_from((0, 1, 0xF_0001, 0xF_0005))
tables = st.dictionaries(numbers, st.lists(rules, min_size=1, max_size=4), max_size=60)


def holds(condition: Condition, args: tuple[int, ...]) -> bool:
    argument, op, value, mask = condition
    arg = args[argument]
    return {
        "EQ": arg == value,
        "NE": arg != value,
        "LT": arg < value,
        "LE": arg <= value,
        "GT": arg > value,
        "GE": arg >= value,
        "MASKED_EQ": arg & mask == value,
    }[op]


def expected(policy: Policy, number: int, args: tuple[int, ...]) -> int:
    """The policy's meaning, in the plainest words."""
    public = [n for n in policy.rules if n & ~X32_BIT < 0xF_0000]
    if number not in policy.rules:
        return policy.unknown if public and number > max(public) else policy.default
    matching = [r for r in policy.rules[number] if all(holds(c, args) for c in r.conditions)]
    if not matching:
        return policy.default
    return min(matching, key=lambda rule: seccomp.strictness(rule.verdict)).verdict


@settings(max_examples=150, deadline=None)
@given(tables, tables, verdicts, verdicts, st.data())
def test_program_means_what_the_policies_say(wide, narrow, default, foreign, data) -> None:
    policies = [
        Policy("x86_64", default, ENOSYS, wide),
        Policy("i386", ERRNO | 1, default, narrow),
    ]
    code = bpf.decoded(assemble(policies, foreign=foreign))
    interesting = sorted(
        {0, 501, 0xF_0003, 0x3FFF_FFFF} | {m for n in {*wide, *narrow} for m in (n, n + 1)}
    )
    calls = data.draw(
        st.lists(st.tuples(st.sampled_from(interesting), st.tuples(*[words] * 6)), max_size=40)
    )
    for number, args in calls:
        for policy in policies:
            want = expected(policy, number, args)
            assert bpf.run(code, AUDIT_ARCH[policy.abi], number, args) == want
        assert bpf.run(code, AUDIT_ARCH["aarch64"], number, args) == foreign


@pytest.mark.parametrize("op", OPS)
def test_every_operator_compares_all_64_bits(op: str) -> None:
    near = sorted({v for e in EDGES for v in (e - 1, e, e + 1) if 0 <= v <= FULL})
    for value, mask in itertools.product(EDGES, (FULL, 0xFFFF_FFFF, 0xFF << 28, 0)):
        condition = Condition(2, op, value, mask)
        policy = Policy("x86_64", ERRNO | 1, ENOSYS, {7: [Rule(ALLOW, (condition,))]})
        code = bpf.decoded(assemble([policy]))
        for arg in near:
            args = (FULL, 0, arg, FULL, FULL, 0)
            assert bpf.run(code, AUDIT_ARCH["x86_64"], 7, args) == expected(policy, 7, args)


def test_a_rule_given_twice_means_what_it_means_once() -> None:
    for op in OPS:
        rule = Rule(ALLOW, (Condition(0, op, 5),))
        policy = Policy("x86_64", ERRNO | 1, ENOSYS, {7: [rule, rule]})
        code = bpf.decoded(assemble([policy]))
        for arg in (4, 5, 6):
            want = expected(policy, 7, (arg,))
            assert bpf.run(code, AUDIT_ARCH["x86_64"], 7, (arg,)) == want


def test_foreign_architectures_are_killed() -> None:
    code = bpf.decoded(assemble([Policy("x86_64", ALLOW, ALLOW, {})]))
    assert bpf.run(code, AUDIT_ARCH["i386"], 1) == KILL_PROCESS
    assert bpf.run(code, 0, 0) == KILL_PROCESS


def test_x32_without_a_policy_gets_enosys_even_when_all_is_allowed() -> None:
    code = bpf.decoded(assemble([Policy("x86_64", ALLOW, ALLOW, {})]))
    for number in (X32_BIT, X32_BIT | 1, X32_BIT | 520, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF):
        assert bpf.run(code, AUDIT_ARCH["x86_64"], number) == ENOSYS
    assert bpf.run(code, AUDIT_ARCH["x86_64"], X32_BIT - 1) == ALLOW


def test_x32_policy_applies_to_marked_numbers_only() -> None:
    x32 = Policy("x32", ERRNO | 1, ENOSYS, {X32_BIT | 3: [Rule(ALLOW)]})
    code = bpf.decoded(assemble([Policy("x86_64", KILL_PROCESS, KILL_PROCESS, {}), x32]))
    arch = AUDIT_ARCH["x86_64"]
    assert bpf.run(code, arch, X32_BIT | 3) == ALLOW
    assert bpf.run(code, arch, X32_BIT | 2) == ERRNO | 1
    assert bpf.run(code, arch, X32_BIT | 4) == ENOSYS
    assert bpf.run(code, arch, 3) == KILL_PROCESS
    alone = bpf.decoded(assemble([x32]))
    assert bpf.run(alone, arch, X32_BIT | 3) == ALLOW
    assert bpf.run(alone, arch, 3) == KILL_PROCESS


def test_jumps_farther_than_255_instructions_are_bridged() -> None:
    table = {
        n: [Rule(ERRNO | n % 300, (Condition(n % 6, "GT", n << 31), Condition(0, "NE", n)))]
        for n in range(0, 300, 2)
    }
    policies = [Policy("x86_64", ALLOW, ENOSYS, table), Policy("i386", ALLOW, ENOSYS, table)]
    code = bpf.decoded(assemble(policies))
    assert len(code) > 1000
    for policy, number, arg in itertools.product(policies, range(310), (0, 1 << 40)):
        args = (arg,) * 6
        want = expected(policy, number, args)
        assert bpf.run(code, AUDIT_ARCH[policy.abi], number, args) == want


def test_a_program_too_long_for_the_kernel_is_refused() -> None:
    table = {
        n: [Rule(ERRNO | n, tuple(Condition(i, "GT", n << 20 | i) for i in range(6)))]
        for n in range(300)
    }
    with pytest.raises(ValueError, match="the kernel takes 4096"):
        assemble([Policy("x86_64", ALLOW, ENOSYS, table)])


def test_an_unknown_abi_is_refused() -> None:
    with pytest.raises(KeyError):
        assemble([Policy("m68k", ALLOW, ALLOW, {})])


def test_constant_verdicts_use_only_what_the_action_cache_evaluates() -> None:
    table = {n: [Rule(ALLOW)] for n in range(0, 400, 3)}
    for op, _, _, k in bpf.decoded(assemble([Policy("x86_64", ERRNO | 1, ENOSYS, table)])):
        assert op in (0x20, 0x05, 0x06, 0x15, 0x35) and (op != 0x20 or k in (0, 4))


def test_one_odd_number_costs_one_comparison() -> None:
    table = {n: [Rule(ALLOW)] for n in range(100) if n not in (30, 60)}
    code = bpf.decoded(assemble([Policy("x86_64", ERRNO | 1, ENOSYS, table)]))
    assert sum(op in (0x15, 0x35) for op, *_ in code) == 4
