"""The two ways to nftables, their answers and their complaints."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from casemate.errors import Unsupported
from casemate.linux import nftables

Program = Callable[[str], nftables.Program]


@pytest.fixture
def program(tmp_path: object) -> Program:
    """Return a maker of programs that stand for nft."""

    def make(script: str) -> nftables.Program:
        path = f"{tmp_path}/nft"
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, 0o755)
        return nftables.Program(path)

    return make


def test_the_program_gets_json_and_an_empty_environment(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "not for others")
    made = program('read line; test -z "$SECRET" && test "$*" = "-j -f -" && echo "$line"')
    commands = [{"add": {"table": {"family": "inet", "name": "it's; a name"}}}]
    assert made.execute(commands) == commands


def test_several_documents_are_one_answer_without_the_version(program: Program) -> None:
    made = program(
        """echo '{"nftables": [{"metainfo": {"version": "1"}}, {"table": {"name": "a"}}]}'
        echo
        echo '{"nftables": [{"metainfo": {"version": "1"}}, {"table": {"name": "b"}}]}'"""
    )
    found = made.execute([])
    assert found == [{"table": {"name": "a"}}, {"table": {"name": "b"}}]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Error: Could not process rule: No such file or directory", errno.ENOENT),
        ("/dev/stdin:1:1-2: Error: Could not process rule: File exists", errno.EEXIST),
        ("internal:0:0-0: Error: Could not process rule: Operation not supported", 95),
        ("netlink: Error: Operation not permitted", errno.EPERM),
        ("internal:0:0-0: Error: syntax error, unexpected string", errno.EINVAL),
        ("", errno.EINVAL),
    ],
)
def test_a_complaint_becomes_the_kernels_errno(program: Program, said: str, code: int) -> None:
    with pytest.raises(OSError, match="nftables: ") as caught:
        program(f"echo '{said}' >&2; exit 1").execute([])
    assert caught.value.errno == code


def test_a_program_that_does_not_end_is_given_up(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nftables, "_PROGRAM_TIMEOUT_S", 0.1)
    with pytest.raises(TimeoutError, match="does not end"):
        program("exec sleep 60").execute([])


def test_without_the_library_the_program_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nftables, "_LIBRARY", "libnothing.so.1")
    monkeypatch.setattr(nftables, "_PROGRAMS", ("/nowhere/nft", "/bin/sh"))
    assert isinstance(nftables.connect(), nftables.Program)


def test_without_both_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nftables, "_LIBRARY", "libnothing.so.1")
    monkeypatch.setattr(nftables, "_PROGRAMS", ("/nowhere/nft",))
    with pytest.raises(Unsupported, match="neither libnothing") as caught:
        nftables.connect()
    assert caught.value.hint is not None
    assert "libnftables1" in caught.value.hint
