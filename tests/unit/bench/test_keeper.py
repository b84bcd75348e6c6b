"""Everything that is started below a keeper is counted, and ended with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench.failure import Broken
from bench.keeper import Keeper

_BURN = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"


def test_a_program_that_ends_is_counted_with_its_children(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path), "test")
    try:
        before = keeper.cpu_ms()
        ran = keeper.run(["sh", "-c", f"sh -c '{_BURN}'; echo done"])
        assert ran.output == "done\n"
        assert ran.cpu_ms > 5
        assert keeper.cpu_ms() - before >= ran.cpu_ms * 0.9
    finally:
        keeper.close()


def test_what_outlives_its_parent_is_counted_and_ended(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path), "test")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    try:
        before = keeper.cpu_ms()
        # The shell's child lives on, and tells its pid after it has worked.
        keeper.run(["sh", "-c", f"sh -c '{_BURN}; echo $$ > {fifo}; exec sleep 1000' & exit 0"])
        pid = int(fifo.read_text())
        assert keeper.cpu_ms() - before > 5
    finally:
        keeper.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_failure_tells_what_the_program_said(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path), "test")
    try:
        with pytest.raises(Broken, match=r"exit status 3: no such thing"):
            keeper.run(["sh", "-c", "echo no such thing >&2; exit 3"])
        with pytest.raises(Broken, match="No such file"):
            keeper.run(["/no/such/program"])
    finally:
        keeper.close()


def test_a_daemon_that_ends_at_once_is_no_endless_wait(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path), "test")
    try:
        pid = keeper.start(["sh", "-c", "echo cannot bind; exit 1"])
        with pytest.raises(Broken, match="cannot bind"):
            keeper.wait_until(pid, lambda: False, timeout_s=30)
    finally:
        keeper.close()


def test_end_waits_for_the_end(tmp_path: Path) -> None:
    keeper = Keeper(str(tmp_path), "test")
    try:
        pid = keeper.start(["sleep", "1000"])
        keeper.end(pid)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        keeper.close()
