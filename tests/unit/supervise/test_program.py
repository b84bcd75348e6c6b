"""The shim's program in memory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from casemate.errors import Unavailable
from casemate.supervise.program import Program
from casemate.supervise.shim import Exit


def test_the_copy_in_memory_cannot_be_changed(tmp_path: Path) -> None:
    source = tmp_path / "shim"
    source.write_bytes(os.urandom(300_000))
    program = Program(str(source))
    try:
        with open(f"/proc/self/fd/{program.descriptor}", "rb") as file:
            assert file.read() == source.read_bytes()
        assert fcntl.fcntl(program.descriptor, fcntl.F_GET_SEALS) & 15 == 15
        with pytest.raises(PermissionError):
            os.write(program.descriptor, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(program.descriptor, 0)
        assert not os.get_inheritable(program.descriptor)
    finally:
        program.close()


def test_a_shim_that_was_not_built_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot read the shim") as caught:
        Program(str(tmp_path / "none"))
    assert caught.value.hint and "build it" in caught.value.hint


def test_a_program_that_is_none_is_told(tmp_path: Path) -> None:
    source = tmp_path / "shim"
    source.write_bytes(b"no program")
    program = Program(str(source))
    try:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Unavailable, match="cannot start a supervisor"):
            program.spawn(0)
        assert len(os.listdir("/proc/self/fd")) <= before
    finally:
        program.close()


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (9, 137), (15 | 0x80, 143)])
def test_an_exit_has_the_code_that_a_shell_shows(status: int, code: int) -> None:
    assert Exit(status, 0).code == code
