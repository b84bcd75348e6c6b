"""Assemble classic BPF back to front: every jump goes to code that is already there.

An instruction is known by its distance from the end, which never changes while code is put in
front of it. Conditional jumps reach 255 instructions; where a target is farther away, a returned
verdict is repeated and anything else is reached through an unconditional jump.

Source: linux/filter.h, linux/bpf_common.h; Documentation/networking/filter.rst.
"""

from __future__ import annotations

import struct

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS: A = the 32-bit word at byte k of struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_REACH = 255
_FILTER = struct.Struct("=HBBI")  # struct sock_filter: code, jt, jf, k


class Program:
    """A program that grows at its front; a label is an instruction's distance from the end."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._returns: dict[int, int] = {}

    def returns(self, verdict: int) -> int:
        """Return the label of an instruction that ends the program with ``verdict``."""
        label = self._returns.get(verdict)
        if label is None or self._distance(label) >= _REACH:
            label = self._returns[verdict] = self._put(RETURN, 0, 0, verdict)
        return label

    def then(self, code: int, value: int, label: int) -> int:
        """Put ``code`` with operand ``value`` in front; execution goes on at ``label``."""
        if self._distance(label):
            self._put(JUMP, 0, 0, self._distance(label))
        return self._put(code, 0, 0, value)

    def branch(self, code: int, value: int, yes: int, no: int) -> int:
        """Put the comparison ``A code value`` in front; it goes to ``yes`` or to ``no``."""
        if yes == no:
            return yes
        yes = self._near(yes)
        no = self._near(no)
        return self._put(code, self._distance(yes), self._distance(no), value)

    def packed(self, entry: int) -> bytes:
        """Return the program as an array of struct sock_filter that begins at ``entry``.

        Raises ValueError when it is longer than the kernel takes.
        """
        if self._distance(entry):
            self._put(JUMP, 0, 0, self._distance(entry))
        if len(self._code) > MAX_INSTRUCTIONS:
            raise ValueError(
                f"the filter needs {len(self._code)} instructions,"
                f" the kernel takes {MAX_INSTRUCTIONS}"
            )
        return b"".join(_FILTER.pack(*line) for line in reversed(self._code))

    def _near(self, label: int) -> int:
        # One less than the reach: the other target may still need a stepping stone in front.
        if self._distance(label) < _REACH:
            return label
        code, _, _, value = self._code[label]
        if code == RETURN:
            return self.returns(value)
        return self._put(JUMP, 0, 0, self._distance(label))

    def _distance(self, label: int) -> int:
        return len(self._code) - label - 1

    def _put(self, code: int, jt: int, jf: int, value: int) -> int:
        self._code.append((code, jt, jf, value))
        return len(self._code) - 1
