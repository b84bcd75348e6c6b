"""System call numbers by name, for each ABI; the tables are read at first use.

An ABI is what seccomp can tell apart: ``x86_64``, ``i386``, ``x32``, ``aarch64`` or ``arm``.
Source: the kernel's system call tables up to 7.1; numbers once given never change.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

# Bit 30 marks an x32 call. Source: linux arch/x86/include/uapi/asm/unistd.h.
X32_BIT = 0x4000_0000

# Calls from here on are private to one architecture. Source: arch/arm/include/uapi/asm/unistd.h.
PRIVATE = 0xF_0000

# Calls that have one number on every architecture. Source: linux scripts/syscall.tbl.
_COMMON = """
424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen
fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule
landlock_restrict_self 448 process_mrelease futex_waitv set_mempolicy_home_node cachestat
fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat
removexattrat open_tree_attr file_getattr file_setattr listns rseq_slice_yield
"""


@functools.cache
def numbers(abi: str) -> Mapping[str, int]:
    """Return the number of every call of ``abi`` by name; raises KeyError for an unknown ABI."""
    if abi == "x32":
        return _x32()
    if abi not in ("x86_64", "i386", "aarch64", "arm"):
        raise KeyError(abi)
    module = importlib.import_module(f"{__package__}.syscalls_{abi}")
    return _read(module.NUMBERS) | _read(_COMMON)


def _x32() -> dict[str, int]:
    from casemate.linux.syscalls_x86_64 import X32_LACKS, X32_OWN

    lacks = frozenset(X32_LACKS.split())
    table = {name: n for name, n in numbers("x86_64").items() if name not in lacks}
    return {name: n | X32_BIT for name, n in (table | _read(X32_OWN)).items()}


def _read(text: str) -> dict[str, int]:
    table: dict[str, int] = {}
    number = 0
    for word in text.split():
        if word.isdecimal():
            number = int(word)
        else:
            table[word] = number
            number += 1
    return table
