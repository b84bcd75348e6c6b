from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.device_program import assemble
from casemate.linux.cgroups.devicerules import DeviceState, Key, evaluate, lines
from casemate.linux.cgroups.values import DeviceRule

DENY, ALLOW = DeviceRule(False), DeviceRule(True)
KINDS, ACCESSES = {"b": 1, "c": 2}, {"m": 1, "r": 2, "w": 4}


def judge(state: DeviceState, key: Key, access: frozenset[str]) -> bool:
    """What the version 1 controller does, as its documentation says."""
    for (kind, major, minor), excepted in state.exceptions.items():
        if kind != key[0] or major not in (None, key[1]) or minor not in (None, key[2]):
            continue
        if not state.allow and access <= excepted:
            return True
        if state.allow and access & excepted:
            return False
    return state.allow


def run(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """Interpret the eBPF instructions that device programs use."""
    context = struct.pack("=III", access << 16 | kind, major, minor)
    code = [struct.unpack_from("=BBhI", program, at) for at in range(0, len(program), 8)]
    registers = {1: 0}
    at = 0
    while True:
        opcode, both, offset, immediate = code[at]
        to, source = both & 15, both >> 4
        at += 1
        match opcode:
            case 0x61:
                assert source == 1
                registers[to] = struct.unpack_from("=I", context, offset)[0]
            case 0xB4:
                registers[to] = immediate
            case 0xBC:
                registers[to] = registers[source]
            case 0x54:
                registers[to] &= immediate
            case 0x74:
                registers[to] >>= immediate
            case 0x56:
                at += offset if registers[to] != immediate else 0
            case 0x16:
                at += offset if registers[to] == immediate else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(hex(opcode))


numbers = st.none() | st.sampled_from((0, 1, 5, 136, (1 << 32) - 1))
accesses = st.sets(st.sampled_from("rwm"), min_size=1)
rules = st.builds(
    DeviceRule, st.booleans(), st.sampled_from("bc"), numbers, numbers, accesses.map("".join)
)
lists = st.tuples(st.sampled_from((DENY, ALLOW)), st.lists(rules, max_size=8))


@given(lists)
def test_the_program_judges_like_the_controller(drawn: tuple[DeviceRule, list[DeviceRule]]) -> None:
    first, rest = drawn
    try:
        state = evaluate((first, *rest))
    except InvalidArgument:
        return
    program = assemble(state)
    for kind in "bc":
        for major in (0, 1, 5, 7, (1 << 32) - 1):
            for minor in (0, 1, 136, 9):
                for bits in range(1, 8):
                    access = frozenset(a for a, bit in ACCESSES.items() if bits & bit)
                    verdict = run(program, KINDS[kind], bits, major, minor)
                    assert verdict == judge(state, (kind, major, minor), access)


def test_rules_add_up_to_exceptions_from_a_default() -> None:
    rules = (DENY, DeviceRule(True, "c", 1, 3, "r"), DeviceRule(True, "c", 1, 3, "w"))
    assert evaluate(rules) == DeviceState(False, {("c", 1, 3): frozenset("rw")})
    assert lines((*rules, DeviceRule(True, "c", 136, None))) == ("c 1:3 rw", "c 136:* rwm")
    assert evaluate((*rules, DeviceRule(False, "c", 1, 3, "w"))).exceptions == {
        ("c", 1, 3): frozenset("r")
    }
    assert evaluate((*rules, DeviceRule(False, "c", 1, 3))).exceptions == {}
    assert evaluate((*rules, ALLOW)) == DeviceState(True, {})
    assert evaluate(()) == DeviceState(True, {})
    assert evaluate((DeviceRule(False, "b", 8, 0, "w"),)) == DeviceState(
        True, {("b", 8, 0): frozenset("w")}
    )


def test_denying_what_is_denied_anyway_changes_nothing() -> None:
    rules = (DENY, DeviceRule(True, "c", 1, 3), DeviceRule(False, "c", 10, 229))
    assert evaluate(rules).exceptions == {("c", 1, 3): frozenset("rwm")}


def test_a_hole_in_a_wider_rule_is_refused() -> None:
    wide = DeviceRule(True, "c", 136, None)
    with pytest.raises(InvalidArgument, match=r"cannot deny c 136:5 w after c 136:\* rwm"):
        evaluate((DENY, wide, DeviceRule(False, "c", 136, 5, "w")))
    with pytest.raises(InvalidArgument, match="cannot deny"):
        evaluate((DENY, DeviceRule(True, "c", 136, 5), DeviceRule(False, "c", None, 5, "r")))
    evaluate((DENY, wide, DeviceRule(False, "b", 136, 5, "w")))


@pytest.mark.parametrize(
    "rule",
    [
        DeviceRule(True, "d"),
        DeviceRule(True, "c", -1),
        DeviceRule(True, "c", 1, 1 << 32),
        DeviceRule(True, "c", 1, 1, ""),
        DeviceRule(True, "c", 1, 1, "rx"),
        DeviceRule(True, "a", 1, 3),
        DeviceRule(True, "a", None, None, "r"),
    ],
)
def test_what_is_no_device_rule_is_refused(rule: DeviceRule) -> None:
    with pytest.raises(InvalidArgument, match="invalid device rule"):
        evaluate((rule,))
