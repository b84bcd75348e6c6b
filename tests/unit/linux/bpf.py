"""A classic BPF interpreter for seccomp programs: the oracle of the assembler's tests.

It is written from Documentation/networking/filter.rst and checks what the kernel's verifier
checks: known instructions, forward jumps inside the program, aligned loads, a return at the end.
"""

from __future__ import annotations

import struct

MASK = 0xFFFF_FFFF


def decoded(program: bytes) -> list[tuple[int, int, int, int]]:
    """Return the instructions of ``program`` after checking them like the kernel does."""
    assert len(program) % 8 == 0
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    assert 0 < len(code) <= 4096
    for at, (op, jt, jf, k) in enumerate(code):
        match op:
            case 0x20:
                assert k % 4 == 0 and k < 64, f"load at {k}"
            case 0x54 | 0x06:
                pass
            case 0x05:
                assert at + 1 + k < len(code)
            case 0x15 | 0x25 | 0x35 | 0x45:
                assert at + 1 + max(jt, jf) < len(code)
            case _:
                raise AssertionError(f"instruction {op:#x}")
    assert code[-1][0] in (0x06, 0x05)
    return code


def run(
    code: list[tuple[int, int, int, int]], arch: int, number: int, args: tuple[int, ...] = ()
) -> int:
    """Return the verdict of a decoded program for one call."""
    padded = (*args, *([0] * (6 - len(args))))
    data = struct.pack("<IIQ6Q", number & MASK, arch, 0, *padded)
    accumulator = at = 0
    while True:
        op, jt, jf, k = code[at]
        at += 1
        match op:
            case 0x20:
                accumulator = struct.unpack_from("<I", data, k)[0]
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x06:
                return k
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x35:
                at += jt if accumulator >= k else jf
            case 0x45:
                at += jt if accumulator & k else jf
