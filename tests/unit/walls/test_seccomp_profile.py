from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Error, InvalidArgument, NotFound, Unsupported
from casemate.walls import seccomp
from casemate.walls.seccomp_profile import parse

AMD64 = seccomp.Facts(frozenset(), ("amd64",), (6, 18))


def document(*rules: dict[str, Any], **top: Any) -> bytes:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules), **top}).encode()


def allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", **more}


def named(raw: bytes, facts: seccomp.Facts = AMD64) -> list[str]:
    return [n for rule in seccomp.resolve(parse(raw, "test"), facts).syscalls for n in rule.names]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "input data was truncated"),
        (b"{}", "missing required field `defaultAction`"),
        (b"[" * 100_000, "expected `object`, got `array`"),
        (b'{"defaultAction": "SCMP_ACT_ERRNO"\xff}', "malformed"),
        (b" " * (1 << 20) + b"{}", "larger than 1048576 bytes"),
        (document(defaultaction="x"), "unknown field `defaultaction`"),
        (document(defaultAction="ALLOW"), "defaultAction 'ALLOW' is none of SCMP_ACT_KILL,"),
        (document(defaultErrnoRet=4096), "4096 is not in 0..4095"),
        (document(defaultErrno="EFOO"), "'EFOO' is not an errno"),
        (document(defaultErrno="EPERM", defaultErrnoRet=2), "EPERM is 1, not 2"),
        (document(architectures=["SCMP_ARCH_Z80"]), "'SCMP_ARCH_Z80' is not an architecture"),
        (document(flags=["TSYNC"]), "flag 'TSYNC' is none of"),
        (
            document(architectures=["SCMP_ARCH_X86"], archMap=[{"architecture": "SCMP_ARCH_X86"}]),
            "both architectures and archMap",
        ),
        (document(allow("read", name="write")), "both name and names"),
        (document(allow()), "syscalls[0]: names is empty"),
        (document(allow("read"), allow("Read me")), "syscalls[1]: 'Read me' is not the name"),
        (document(allow("read", errnoRet=1)), "SCMP_ACT_ALLOW takes no errno"),
        (document(allow("read", arg=[])), "unknown field `arg`"),
        (document({"names": ["read"], "action": "allow"}), "action 'allow' is none of"),
        (
            document(allow("read", args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])),
            "argument index 6 is not in 0..5",
        ),
        (
            document(allow("read", args=[{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}])),
            "does not fit into 64 bits",
        ),
        (
            document(allow("read", args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}])),
            "does not fit into 64 bits",
        ),
        (
            document(allow("read", args=[{"index": 0, "value": 0, "op": "EQ"}])),
            "operator 'EQ' is none of SCMP_CMP_{NE,",
        ),
        (document(allow("read", includes={"caps": ["SYS_ADMIN"]})), "'SYS_ADMIN' is not a capab"),
        (document(allow("read", includes={"minKernel": "4.8.1"})), "minKernel '4.8.1' is not like"),
        (document(allow("read", excludes={"minKernel": "0.0"})), "minKernel '0.0' is not like"),
    ],
)
def test_a_broken_profile_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(raw, "p.json")
    assert "invalid seccomp profile p.json: " in caught.value.message
    assert reason in caught.value.message


@pytest.mark.parametrize(
    "raw",
    [
        document({"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}),
        document(listenerPath="/run/agent.sock"),
    ],
)
def test_notification_is_refused_as_unsupported(raw: bytes) -> None:
    with pytest.raises(Unsupported, match=r"cannot use seccomp profile p\.json: .*notification"):
        parse(raw, "p.json")


def test_older_and_other_spellings_are_read() -> None:
    raw = document(
        {"name": "read", "action": "SCMP_ACT_ALLOW", "args": None, "comment": "one name"},
        {"names": ["bdflush"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "errnoRet": 1},
        allow("write", includes={}, excludes={}, args=[], comment=""),
        defaultErrno="ENOSYS",
        defaultErrnoRet=38,
        archMap=[{"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None}],
    )
    resolved = seccomp.resolve(parse(raw, "test"), AMD64)
    assert [rule.names for rule in resolved.syscalls] == [("read",), ("bdflush",), ("write",)]
    assert resolved.default_errno_ret == 38
    assert resolved.syscalls[1].errno_ret == 1
    assert resolved.architectures == ()


def test_rules_apply_by_capability_architecture_and_kernel() -> None:
    raw = document(
        allow("read"),
        allow("mount", includes={"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}),
        allow("clone", excludes={"caps": ["CAP_SYS_ADMIN"]}),
        allow("modify_ldt", includes={"arches": ["x86", "amd64"]}),
        allow("cacheflush", includes={"arches": ["arm64"]}),
        allow("vm86", excludes={"arches": ["amd64"]}),
        allow("ptrace", includes={"minKernel": "4.8"}),
        allow("uselib", excludes={"minKernel": "4.8"}),
    )
    assert named(raw) == ["read", "clone", "modify_ldt", "ptrace"]
    admin = frozenset({"CAP_SYS_ADMIN"})
    assert named(raw, AMD64._replace(capabilities=admin)) == ["read", "modify_ldt", "ptrace"]
    both = frozenset({"CAP_SYS_ADMIN", "CAP_CHOWN"})
    assert "mount" in named(raw, AMD64._replace(capabilities=both))
    assert named(raw, AMD64._replace(kernel=(4, 8))) == named(raw)
    old = ["read", "clone", "modify_ldt", "uselib"]
    assert named(raw, AMD64._replace(kernel=(4, 7))) == old
    assert named(raw, AMD64._replace(kernel=(3, 19))) == old
    arm = ["read", "clone", "cacheflush", "vm86", "ptrace"]
    assert named(raw, AMD64._replace(architectures=("arm64",))) == arm
    assert "modify_ldt" in named(raw, AMD64._replace(architectures=("arm64", "386")))


def test_architectures_come_from_the_map_entry_of_the_kernel() -> None:
    profile = seccomp.own("default")
    assert seccomp.resolve(profile, AMD64).architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    arm = seccomp.resolve(profile, AMD64._replace(architectures=("arm64",)))
    assert arm.architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")
    raw = document(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])
    assert seccomp.resolve(parse(raw, "test"), AMD64).architectures == (
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X32",
    )


def test_the_option_chooses_default_nothing_or_a_text() -> None:
    for option in (None, "default", "builtin"):
        assert seccomp.choose(option) is seccomp.own("default")
    assert seccomp.choose("unconfined") is None
    chosen = seccomp.choose(document(allow("read")).decode())
    assert chosen is not None and chosen.syscalls is not None and len(chosen.syscalls) == 1
    for option in ("", "/etc/passwd", "Unconfined"):
        with pytest.raises(InvalidArgument, match="invalid seccomp option"):
            seccomp.choose(option)


def test_a_profile_is_read_from_a_file_and_nothing_else(tmp_path: Any) -> None:
    path = tmp_path / "profile.json"
    path.write_bytes(document(allow("read")))
    assert seccomp.load(str(path)).syscalls
    with pytest.raises(NotFound, match="cannot read the seccomp profile"):
        seccomp.load(str(tmp_path / "none"))
    with pytest.raises(Error, match="cannot read the seccomp profile"):
        seccomp.load(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidArgument):
        seccomp.load(str(tmp_path / "fifo"))


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
keys = st.sampled_from(
    ("defaultAction", "syscalls", "names", "action", "args", "index", "value", "op", "archMap")
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4)
)


@given(anything | st.fixed_dictionaries({"defaultAction": st.just("SCMP_ACT_LOG")}), st.binary())
def test_hostile_documents_are_a_profile_or_an_error(value: object, noise: bytes) -> None:
    for raw in (json.dumps(value).encode(), noise, json.dumps(value).encode() + noise):
        try:
            profile = parse(raw, "test")
        except Error:
            continue
        seccomp.resolve(profile, AMD64)
