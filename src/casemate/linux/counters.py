"""What the kernel counts of interfaces and processors. Source: man 5 proc_pid_net, proc_stat."""

from __future__ import annotations

import os
from typing import NamedTuple

#: A workload that may make interfaces may make many; what is behind this is not read.
_READ_BYTES = 1 << 16
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
#: user, nice, system, idle, iowait, irq, softirq
_CPU_FIELDS = 7


class Traffic(NamedTuple):
    """What went through one interface since it is there; rx is what was received."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def traffic(pid: int) -> dict[str, Traffic]:
    """Return the counters of the interfaces in the network namespace of ``pid``. Raises OSError."""
    with open(f"/proc/{pid}/net/dev", "rb", buffering=0) as file:
        data = b""
        while len(data) < _READ_BYTES and (piece := file.read(_READ_BYTES)):
            data += piece
    return dict(_interfaces(data))


def _interfaces(data: bytes) -> list[tuple[str, Traffic]]:
    found = []
    for line in data.split(b"\n")[2:-1]:  # two lines of headings, and what was cut off
        name, _, numbers = line.strip().rpartition(b":")
        values = [int(number) for number in numbers.split()]
        if len(values) >= 12:
            counters = Traffic(*values[:4], *values[8:12])
            found.append((name.decode("utf-8", "replace"), counters))
    return found


def processor_time() -> tuple[int, int]:
    """Return the time of all processors together, idle or not, in nanoseconds, and their number.

    Raises OSError.
    """
    with open("/proc/stat", "rb") as file:
        total = sum(map(int, file.readline().split()[1 : 1 + _CPU_FIELDS])) * _TICK_NS
        number = 0
        for line in file:
            if not line.startswith(b"cpu"):
                break
            number += 1
    return total, number
