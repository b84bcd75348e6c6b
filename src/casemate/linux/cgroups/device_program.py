"""The BPF program that judges device accesses of a version 2 cgroup.

It gets struct bpf_cgroup_dev_ctx in r1 and returns 1 to allow. Source: linux/bpf.h,
Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct

from casemate.linux.cgroups.devicerules import DeviceState, Key

_KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
_ACCESSES = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*
_ALL = 7

_LOAD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE, _MOVE_REGISTER = 0xB4, 0xBC  # BPF_ALU | BPF_MOV, K and X
_AND, _SHIFT_RIGHT = 0x54, 0x74  # BPF_ALU, K
_IF_NOT, _IF = 0x56, 0x16  # BPF_JMP32 | BPF_JNE, BPF_JEQ, K
_EXIT = 0x95
_RESULT, _CONTEXT, _KIND, _ACCESS, _MAJOR, _MINOR = range(6)

_Instruction = tuple[int, int, int, int, int]  # opcode, destination, source, offset, immediate


def assemble(state: DeviceState) -> bytes:
    """Return the program for ``state`` as an array of struct bpf_insn."""
    code: list[_Instruction] = [
        (_LOAD, _ACCESS, _CONTEXT, 0, 0),
        (_MOVE_REGISTER, _KIND, _ACCESS, 0, 0),
        (_AND, _KIND, 0, 0, 0xFFFF),
        (_SHIFT_RIGHT, _ACCESS, 0, 0, 16),
        (_LOAD, _MAJOR, _CONTEXT, 4, 0),
        (_LOAD, _MINOR, _CONTEXT, 8, 0),
    ]
    for key, access in state.exceptions.items():
        code += _exception(key, access, allow=state.allow)
    code += [(_MOVE, _RESULT, 0, 0, int(state.allow)), (_EXIT, 0, 0, 0, 0)]
    return b"".join(_pack(*instruction) for instruction in code)


def _exception(key: Key, access: frozenset[str], *, allow: bool) -> list[_Instruction]:
    kind, major, minor = key
    bits = sum(_ACCESSES[letter] for letter in access)
    # Jumps are filled in backwards: each skips what is left of this exception.
    code: list[_Instruction] = [(_EXIT, 0, 0, 0, 0), (_MOVE, _RESULT, 0, 0, int(not allow))]
    for register, number in ((_MINOR, minor), (_MAJOR, major)):
        if number is not None:
            code.append((_IF_NOT, register, 0, len(code), number))
    if allow:
        # Any of the accesses that are excepted is refused.
        code.append((_IF, _RESULT, 0, len(code), 0))
        code.append((_AND, _RESULT, 0, 0, bits))
        code.append((_MOVE_REGISTER, _RESULT, _ACCESS, 0, 0))
    elif bits != _ALL:
        # All that is asked must be among the accesses that are excepted.
        code.append((_IF_NOT, _RESULT, 0, len(code), 0))
        code.append((_AND, _RESULT, 0, 0, _ALL & ~bits))
        code.append((_MOVE_REGISTER, _RESULT, _ACCESS, 0, 0))
    code.append((_IF_NOT, _KIND, 0, len(code), _KINDS[kind]))
    return code[::-1]


def _pack(opcode: int, destination: int, source: int, offset: int, immediate: int) -> bytes:
    return struct.pack("=BBhI", opcode, destination | source << 4, offset, immediate & 0xFFFF_FFFF)
