"""The default filter in the real kernel: loaded in a child, without any privilege."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable

import pytest

from casemate.linux.syscalls import X32_BIT, numbers
from casemate.oci.runtime import Seccomp, SyscallRule
from casemate.walls import seccomp
from casemate.walls.capabilities import DEFAULT
from casemate.walls.seccomp_filter import Filter, build

pytestmark = pytest.mark.skipif(
    os.uname().machine != "x86_64", reason="the calls of this test are those of x86_64"
)

FACTS = seccomp.Facts(frozenset(DEFAULT), ("amd64",), (6, 18))
# mov eax, edi; mov ebx, esi; mov ecx, edx; int 0x80: a call of 32-bit x86 with two arguments.
INT80 = bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3")

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def native(number: int, *args: int) -> int:
    """Return 0 or the errno of a call."""
    ctypes.set_errno(0)
    words = [ctypes.c_ulong(a) for a in args]
    return 0 if libc.syscall(ctypes.c_long(number), *words) >= 0 else ctypes.get_errno()


def under(built: Filter, probe: Callable[[], list[int]]) -> list[int] | int:
    """Return what ``probe`` finds in a child under the filter, or the signal that killed it."""
    program = ctypes.create_string_buffer(built.program)
    head = ctypes.create_string_buffer(
        struct.pack("@HP", len(built.program) // 8, ctypes.addressof(program))
    )
    reader, writer = os.pipe()
    assert threading.active_count() == 1
    pid = os.fork()
    if not pid:
        try:
            libc.prctl(38, 1, 0, 0, 0)
            if native(317, 1, built.flags, ctypes.addressof(head)):
                os._exit(3)
            os.write(writer, repr(probe()).encode())
            os._exit(0)
        finally:
            os._exit(4)
    os.close(writer)
    with open(reader, "rb") as file:
        found = file.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return [int(word) for word in found.decode().strip("[]").split(",")]


def default() -> Filter:
    return build(seccomp.resolve(seccomp.own("default"), FACTS), "amd64")


def test_the_kernel_gives_the_verdicts_of_the_default() -> None:
    n = numbers("x86_64")
    bad = (1 << 64) - 1
    expected = [
        ((n["getpid"],), 0),
        ((n["socket"], 1, 1, 0), 0),
        ((n["socket"], 38, 5, 0), errno.EPERM),
        ((n["socket"], 40, 1, 0), errno.EPERM),
        ((n["socket"], (1 << 32) | 38, 5, 0), errno.EPERM),
        ((n["socket"], 46, 1, 0), errno.EPERM),
        ((n["unshare"], 0x10000000), errno.EPERM),
        ((n["clone"], 0x10000000), errno.EPERM),
        ((n["clone3"], 0, 0), errno.ENOSYS),
        ((n["personality"], 0xFFFF_FFFF), 0),
        ((n["personality"], 0x40000), errno.EPERM),
        ((n["bpf"], 0, 0, 0), errno.EPERM),
        ((n["io_uring_setup"], 1, 0), errno.EPERM),
        ((n["keyctl"], 0, 0), errno.EPERM),
        ((n["mount"], 0, 0, 0, 0, 0), errno.EPERM),
        ((n["ioctl"], bad, 0x5401, 0), errno.EBADF),
        ((n["ioctl"], bad, 0x5412, 0), errno.EPERM),
        ((n["ioctl"], bad, (1 << 32) | 0x5412, 0), errno.EPERM),
        ((n["ioctl"], bad, 0x541C, 0), errno.EPERM),
        ((n["openat2"], bad, 0, 0, 0), errno.EINVAL),
        ((n["rseq_slice_yield"],), errno.ENOSYS),
        ((5000,), errno.ENOSYS),
        ((X32_BIT | n["getpid"],), errno.ENOSYS),
    ]
    found = under(default(), lambda: [native(*call) for call, _ in expected])
    assert found == [code for _, code in expected]


def test_calls_of_32_bit_x86_are_under_the_filter() -> None:
    n = numbers("i386")
    expected = [
        ((n["getppid"], 0, 0), 0),
        ((n["socketcall"], 1, 0), errno.EPERM),
        ((n["socketcall"], 2, 0), errno.EFAULT),
        ((n["socket"], 38, 5), errno.EPERM),
        ((n["unshare"], 0x10000000, 0), errno.EPERM),
        ((n["bpf"], 0, 0), errno.EPERM),
        ((n["clone3"], 0, 0), errno.ENOSYS),
        ((n["rseq_slice_yield"], 0, 0), errno.ENOSYS),
    ]
    assert in_32_bits(default(), expected) == [code for _, code in expected]


def test_calls_of_an_architecture_that_is_not_listed_kill() -> None:
    only = build(Seccomp("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_X86_64",)), "amd64")
    assert in_32_bits(only, [((20, 0, 0), 0)]) == signal.SIGSYS


def in_32_bits(built: Filter, calls: list[tuple[tuple[int, int, int], int]]) -> list[int] | int:
    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(INT80)
    entry = signature(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if -entry(20, 0, 0) == errno.ENOSYS:
        pytest.skip("this kernel runs no programs of 32-bit x86")
    return under(built, lambda: [max(0, -entry(*call)) for call, _ in calls])


def test_a_refused_action_can_also_kill() -> None:
    rule = SyscallRule(("getppid",), "SCMP_ACT_KILL_PROCESS")
    built = build(Seccomp("SCMP_ACT_ALLOW", syscalls=(rule,)), "amd64")
    assert under(built, lambda: [native(numbers("x86_64")["getppid"])]) == signal.SIGSYS
    assert under(built, lambda: [native(numbers("x86_64")["getuid"])]) == [0]
