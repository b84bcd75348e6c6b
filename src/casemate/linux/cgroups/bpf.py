"""The few bpf(2) calls that load a program and attach it to a cgroup.

Source: man 2 bpf; linux/bpf.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from casemate.errors import Unsupported
from casemate.linux.libc import check, libc
from casemate.linux.syscalls import numbers

CGROUP_DEVICE = 6  # BPF_CGROUP_DEVICE, an attach type

_PROG_LOAD, _PROG_ATTACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 13, 16
_PROG_TYPE_CGROUP_DEVICE = 15
_ALLOW_MULTI, _REPLACE = 2, 4
_MAX_ATTACHED = 64  # BPF_CGROUP_MAX_PROGS
_ABIS = {"x86_64": "x86_64", "i686": "i386", "aarch64": "aarch64", "armv7l": "arm"}


def load_device_program(program: bytes) -> int:
    """Load an array of struct bpf_insn as a device program; return its descriptor.

    Raises OSError; EINVAL is a program that the verifier refuses.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    license_ = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        _PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(license_),
        *(0, 0, 0),
        *(0, 0),
        b"casemate_dev",
    )
    return _bpf(_PROG_LOAD, attributes, "load")


def attach(cgroup: int, kind: int, program: int, *, replace: Sequence[int] = ()) -> None:
    """Attach ``program`` to the cgroup directory ``cgroup``; ``replace`` is at most one id.

    The programs of the cgroups above stay in force. Raises OSError.
    """
    flags, old = _ALLOW_MULTI, -1
    try:
        for number in replace:
            flags |= _REPLACE
            old = _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0), "get")
        attributes = struct.pack("=IIIII", cgroup, program, kind, flags, max(old, 0))
        _bpf(_PROG_ATTACH, attributes, "attach")
    finally:
        if old >= 0:
            os.close(old)


def attached(cgroup: int, kind: int) -> list[int]:
    """Return the ids of the programs that hang on the cgroup itself. Raises OSError."""
    ids = (ctypes.c_uint32 * _MAX_ATTACHED)()
    attributes = ctypes.create_string_buffer(
        struct.pack("=IIIIQII", cgroup, kind, 0, 0, ctypes.addressof(ids), _MAX_ATTACHED, 0)
    )
    _call(_PROG_QUERY, attributes, "query")
    count = struct.unpack_from("=I", attributes, 24)[0]
    return list(ids[:count])


def _bpf(command: int, attributes: bytes, what: str) -> int:
    return _call(command, ctypes.create_string_buffer(attributes, len(attributes)), what)


def _call(command: int, attributes: ctypes.Array[ctypes.c_char], what: str) -> int:
    machine = os.uname().machine
    if machine not in _ABIS:
        raise Unsupported(f"no device rules for cgroups of version 2 on {machine}")
    number = numbers(_ABIS[machine])["bpf"]
    result = libc.syscall(
        ctypes.c_long(number), command, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    return check(result, f"bpf {what}")
