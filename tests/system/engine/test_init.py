"""Containers with an init: what a process that is not made to be PID 1 expects."""

from __future__ import annotations

import pytest

from support.engine import RunningEngine, eventually
from support.streams import attach

pytestmark = pytest.mark.root


def sleeping(engine: RunningEngine, id_: str) -> bytes:
    return engine.exec(id_, "sh", "-c", "ps | grep -c '[s]leep 1000'").out


def test_orphans_are_waited_for(engine: RunningEngine) -> None:
    script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.01 &'; done; echo ready; sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script, Init=True)
    eventually(lambda: engine.output(id_)[0], bool)
    dead = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    eventually(lambda: engine.exec(id_, "sh", "-c", dead).out, lambda found: found == b"0\n")
    assert sleeping(engine, id_) == b"1\n"


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH", "CONT"])
def test_signals_are_handed_on(engine: RunningEngine, name: str) -> None:
    script = f"trap 'exit 7' {name}; echo ready; while :; do sleep 0.02; done"
    id_ = engine.run_container("busybox", "sh", "-c", script, Init=True)
    eventually(lambda: engine.output(id_)[0], bool)
    engine.client.post(f"/containers/{id_}/kill?signal={name}")
    assert engine.wait(id_) == 7


def test_a_program_without_handlers_ends_by_a_signal(engine: RunningEngine) -> None:
    """As PID 1 it would not: the kernel keeps such signals from it."""
    id_ = engine.run_container("busybox", "sleep", "1000", Init=True)
    engine.client.post(f"/containers/{id_}/stop?t=30")
    assert engine.wait(id_) == 128 + 15


def test_a_terminal_belongs_to_the_program(engine: RunningEngine) -> None:
    script = "trap 'echo interrupted' INT; echo ready; read x; read x; echo got $x; exit 3"
    id_ = engine.create("busybox", "sh", "-c", script, Init=True, Tty=True, OpenStdin=True)
    streams = attach(engine.client, id_, tty=True)
    engine.start_container(id_)
    streams.until(b"ready")
    streams.send(b"\x03")
    streams.until(b"interrupted")
    streams.send(b"word\n")
    streams.send(b"word\n")
    streams.until(b"got word")
    streams.close()
    assert engine.wait(id_) == 3


def test_a_shell_with_an_init_has_job_control(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sh", Init=True, Tty=True, OpenStdin=True)
    streams = attach(engine.client, id_, tty=True)
    engine.start_container(id_)
    streams.send(b"sleep 1000\n")
    eventually(lambda: sleeping(engine, id_), lambda found: found == b"1\n")
    streams.send(b"\x1a")
    streams.until(b"Stopped")
    streams.send(b"kill %1; exit 5\nexit 5\n")
    assert engine.wait(id_) == 5
    streams.close()
