"""Steps and plans as the shim reads them; the tables here and in the shim are the same."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.runtime import plan as plans
from casemate.runtime import steps
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import SIGNATURES, Registers, encode, step
from casemate.supervise import protocol

HEADER = (Path(__file__).parents[3] / "shim" / "shim.h").read_text()


def constants(prefix: str) -> dict[str, int]:
    """Return the members of the shim's enumerations whose names begin with ``prefix``."""
    found: dict[str, int] = {}
    for body in re.findall(r"enum\s+\w*\s*\{(.*?)\};", HEADER, re.S):
        value = -1
        for name, given_value in re.findall(
            r"^\s*(\w+)(?:\s*=\s*(\w+))?\s*,?",
            re.sub(r"/\*.*?\*/", "", body, flags=re.S).replace(", ", ",\n"),
            re.M,
        ):
            value = int(given_value, 0) if given_value else value + 1
            if name.startswith(prefix):
                found[name] = value
    return found


def test_the_steps_are_those_of_the_shim() -> None:
    assert dict(re.findall(r'X\((\w+), "(\w*)"\)', HEADER)) == SIGNATURES
    assert list(dict(re.findall(r'X\((\w+), "(\w*)"\)', HEADER))) == list(SIGNATURES)


@pytest.mark.parametrize("prefix", ["REQ_", "ATTACH_"])
def test_the_requests_are_those_of_the_shim(prefix: str) -> None:
    ours = {n: v for n, v in vars(protocol).items() if n.startswith(prefix)}
    assert ours == constants(prefix)


def test_the_events_are_those_of_the_shim() -> None:
    ours = {n: v for n, v in vars(protocol).items() if n.startswith("EV_")}
    theirs = constants("EV_")
    assert ours == {n: v for n, v in theirs.items() if n not in ("EV_PTY", "EV_BORN")}


def test_other_numbers_are_those_of_the_shim() -> None:
    assert constants("REGISTERS") == {"REGISTERS": steps.REGISTERS}
    assert constants("PASSED") == {"PASSED": steps.PASSED}
    assert constants("MAX_FDS") == {"MAX_FDS": protocol.MAX_DESCRIPTORS}
    assert protocol.MAX_BYTES == constants("MAX_PAYLOAD")["MAX_PAYLOAD"] + 24
    assert constants("PLAN_MAGIC") == {"PLAN_MAGIC": plans._MAGIC}
    assert constants("PLAN_VERSION") == {"PLAN_VERSION": plans._VERSION}
    assert [n.removeprefix("PART_").lower() for n in constants("PART_")] == [*protocol.PARTS]
    flags = {n.removeprefix("PLAN_"): v for n, v in constants("PLAN_").items()}
    for name in ("TTY", "STDIN", "STDIN_ONCE", "LOG"):
        assert flags[name] == getattr(plans, f"FLAG_{name}")


def decoded(data: bytes) -> list[tuple[str, list[object]]]:
    """Return the steps in ``data``, read as the shim does; registers are numbers."""
    names, out, at = list(SIGNATURES), [], 0

    def number() -> int:
        nonlocal at
        at += 8
        return int(struct.unpack_from("<Q", data, at - 8)[0])

    def text() -> bytes:
        nonlocal at
        size = struct.unpack_from("<I", data, at)[0]
        value = data[at + 4 : at + 4 + size]
        assert data[at + 4 + size] == 0
        at += 5 + size
        return value

    while at < len(data):
        op = names[number() - 1]
        operands: list[object] = []
        for kind in SIGNATURES[op]:
            if kind in "wrn":
                operands.append(number())
            elif kind == "v":
                operands.append([text() for _ in range(number())])
            else:
                operands.append(text())
        out.append((op, operands))
    return out


NUMBERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
BY_KIND = {
    "w": st.sampled_from(["a", "b", "c"]),
    "r": st.sampled_from(["a", "b", "c"]),
    "n": NUMBERS,
    "s": TEXTS,
    "b": st.binary(max_size=30),
    "v": st.lists(TEXTS, max_size=4).map(tuple),
}
STEPS = st.sampled_from(list(SIGNATURES)).flatmap(
    lambda op: st.tuples(*(BY_KIND[kind] for kind in SIGNATURES[op])).map(
        lambda operands: step(op, *operands)
    )
)


@given(st.lists(STEPS, max_size=10))
def test_what_is_encoded_is_what_the_shim_reads(items: list[steps.Step]) -> None:
    registers = Registers(("a",))
    read = decoded(encode(items, registers))
    for item, (op, operands) in zip(items, read, strict=True):
        assert item.op == op
        for kind, value, got in zip(SIGNATURES[op], item.operands, operands, strict=True):
            if kind in "wr":
                assert got == registers[str(value)]
            elif isinstance(value, int):
                assert got == value & 0xFFFFFFFFFFFFFFFF
            elif isinstance(value, tuple):
                assert got == [t.encode() for t in value]
            else:
                assert got == (value if isinstance(value, bytes) else value.encode())


def test_bytes_that_are_no_text_go_through() -> None:
    (read,) = decoded(encode([step("exec", ("\udcff",), ("A=\udc80",))], Registers()))
    assert read == ("exec", [[b"\xff"], [b"A=\x80"]])


def test_a_string_with_a_nul_is_refused() -> None:
    for item in (step("chdir", "/a\0b"), step("exec", ("a\0",), ())):
        with pytest.raises(ValueError, match="NUL"):
            encode([item], Registers())
    encode([step("groups", b"\0\0\0\0")], Registers())  # bytes may hold any


def test_operands_must_fit() -> None:
    with pytest.raises(TypeError, match="takes 1 operands, not 2"):
        step("chdir", "/", "/")
    with pytest.raises(KeyError):
        step("system", "rm")


def test_registers_have_a_bound() -> None:
    own = steps.REGISTERS - steps.PASSED
    registers = Registers(tuple(f"p{n}" for n in range(steps.PASSED)))
    assert registers["p15"] == 15
    assert [registers[f"r{n}"] for n in range(own)] == list(range(steps.PASSED, steps.REGISTERS))
    assert registers["r0"] == steps.PASSED
    with pytest.raises(ValueError, match=f"more than {own} registers"):
        registers["one more"]
    with pytest.raises(ValueError, match=f"more than {steps.PASSED} descriptors"):
        Registers(tuple(f"p{n}" for n in range(steps.PASSED + 1)))


def test_a_plan_keeps_its_registers_across_its_two_files() -> None:
    plan = Plan(
        outside=(step("attach", "/x"),),
        ahead=(step("fsopen", "a", "tmpfs"), step("fsmount", "b", "a", 0)),
        before=(step("fsopen", "fs", "tmpfs"), step("fsmount", "made", "fs", 0)),
        inside=(step("setns", "passed", 1), step("pivot", "made"), step("open", "c", "/", 0)),
        registers=("passed",),
        made=("made",),
    )
    head, first = plans._HEADER.size, steps.PASSED

    def lists(data: bytes) -> tuple[list[object], list[object]]:
        outside = struct.unpack_from("<I", data, 8)[0]
        return list(decoded(data[head : head + outside])), list(decoded(data[head + outside :]))

    outside, ahead = lists(plan.ahead_file())
    assert outside == [("attach", [b"/x"])]
    assert ahead == [("fsopen", [first, b"tmpfs"]), ("fsmount", [first + 1, first, 0])]
    before, inside = lists(plan.start_file())
    assert before == [("fsopen", [first, b"tmpfs"]), ("fsmount", [1, first, 0])]
    assert inside == [("setns", [0, 1]), ("pivot", [1]), ("open", [first + 2, b"/", 0])]
    outside, inside = lists(plan.whole_file())
    assert len(outside) == 3 and len(inside) == 5


def test_the_header_says_how_stdio_is_kept() -> None:
    stdio = Stdio(tty=True, stdin=True, stdin_once=True, log=True, log_bytes=1 << 40, log_files=7)
    stdio = stdio._replace(owner=70000)
    data = Plan((step("init"),), stdio=stdio).start_file()
    magic, version, outside, inside, flags, files, size, owner = struct.unpack_from(
        "<IIIIIIQI", data
    )
    assert (magic, version, outside, inside) == (0x4E504D43, 2, 0, 8)
    assert (flags, files, size, owner) == (15, 7, 1 << 40, 70000)


def test_secrets_and_large_steps_are_not_kept() -> None:
    before = steps._kept.cache_info().currsize
    encode(
        [step("exec", ("x",), ("PASSWORD=hunter2",)), step("seccomp", 0, bytes(80))], Registers()
    )
    assert steps._kept.cache_info().currsize == before
