"""A thread with few descriptors."""

from __future__ import annotations

import errno
import os

import pytest

from casemate.linux.descriptors import among_few


def test_only_the_standard_ones_are_there_and_nothing_is_left() -> None:
    ours = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        before = sorted(os.listdir("/proc/self/fd"))

        def work() -> int:
            with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
                os.fstat(ours)
            return os.open("/dev/null", os.O_RDONLY)

        assert among_few(work) == 3
        assert sorted(os.listdir("/proc/self/fd")) == before
        os.fstat(ours)
    finally:
        os.close(ours)


def test_its_errors_are_told() -> None:
    with pytest.raises(FileNotFoundError):
        among_few(lambda: os.open("/nowhere", os.O_RDONLY))
