"""libseccomp through ctypes, used the way runc uses it: the second oracle of the filter's tests."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import tempfile

import pytest

from casemate.oci import runtime

TOKENS = {
    "x86_64": 0xC000_003E,
    "i386": 0x4000_0003,
    "x32": 0x4000_003E,
    "aarch64": 0xC000_00B7,
    "arm": 0x4000_0028,
}
NATIVE = 0
_ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": 0x8000_0000,
    "SCMP_ACT_TRAP": 0x0003_0000,
    "SCMP_ACT_ERRNO": 0x0005_0000,
    "SCMP_ACT_TRACE": 0x7FF0_0000,
    "SCMP_ACT_LOG": 0x7FFC_0000,
    "SCMP_ACT_ALLOW": 0x7FFF_0000,
}
_OPS = {op: n for n, op in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)}


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def library() -> ctypes.CDLL:
    """Return the library, or skip the test that asked."""
    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp.so.2 is not installed")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = (ctypes.c_uint32,)
    lib.seccomp_release.argtypes = (ctypes.c_void_p,)
    lib.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.seccomp_arch_remove.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    lib.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    lib.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compare),
    )
    lib.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return lib


def resolves(lib: ctypes.CDLL, abi: str, name: str) -> int:
    """Return the number that the library knows for a call, negative when it knows none."""
    return int(lib.seccomp_syscall_resolve_name_arch(TOKENS[abi], name.encode()))


def build(lib: ctypes.CDLL, seccomp: runtime.Seccomp, abis: tuple[str, ...]) -> bytes:
    """Return the library's program for ``seccomp`` and exactly ``abis``."""
    default = verdict(seccomp.default_action, seccomp.default_errno_ret)
    context = lib.seccomp_init(default)
    assert context
    try:
        for abi in abis:
            assert lib.seccomp_arch_add(context, TOKENS[abi]) in (0, -17)
        if "x86_64" not in abis:
            assert lib.seccomp_arch_remove(context, TOKENS["x86_64"]) == 0
        for rule in seccomp.syscalls:
            _add(lib, context, rule, default)
        with tempfile.TemporaryFile() as file:
            assert lib.seccomp_export_bpf(context, file.fileno()) == 0
            return os.pread(file.fileno(), 1 << 20, 0)
    finally:
        lib.seccomp_release(context)


def verdict(action: str, errno_ret: int | None) -> int:
    """Return the verdict that runc makes of an action."""
    code = _ACTIONS[action]
    if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        code |= 1 if errno_ret is None else errno_ret
    return code


def _add(lib: ctypes.CDLL, context: int, rule: runtime.SyscallRule, default: int) -> None:
    action = verdict(rule.action, rule.errno_ret)
    if action == default:
        return
    compares = [
        _Compare(a.index, _OPS[a.op.removeprefix("SCMP_CMP_")], a.value, a.value_two)
        for a in rule.args
    ]
    apart = len({c.arg for c in compares}) < len(compares)
    for name in rule.names:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            continue
        for group in [[c] for c in compares] if apart else [compares]:
            array = (_Compare * len(group))(*group)
            result = lib.seccomp_rule_add_array(context, action, number, len(group), array)
            assert result in (0, -17), (name, result)
