"""A peer's reaper, from outside: start, run, count, end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench import reaper
from bench.failure import Broken

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: How often is looked whether a daemon answers: others tell in no other way.
_LOOK_S = 0.02
_TAIL_BYTES = 2000


class Ran(NamedTuple):
    """A program that has ended: wall and processor milliseconds, its own and its children's."""

    wall_ms: float
    cpu_ms: float
    output: str


class Keeper:
    """Everything of one peer. ``prefix`` is put before the reaper's own command line."""

    def __init__(self, directory: str, name: str, prefix: Sequence[str] = ()) -> None:
        """Logs go to ``directory``/``name``.log."""
        self._log = f"{directory}/{name}.log"
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "bench.reaper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_paths())},
        )

    def start(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start a program that stays and return its pid; its output goes to the log."""
        answer = self._ask(
            "start", arguments=arguments, environment=environment or {}, log=self._log
        )
        return int(answer["pid"])

    def run(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Ran:
        """Run a program to its end. Raises Broken with what it said when it fails."""
        log = f"{self._log}.run"
        answer = self._ask("run", arguments=arguments, environment=environment or {}, log=log)
        with open(log, encoding="utf-8", errors="replace") as file:
            output = file.read()
        if answer["status"]:
            shown = " ".join(arguments)
            raise Broken(f"{shown}: exit status {answer['status']}: {output[-_TAIL_BYTES:]}")
        return Ran(answer["wall_ns"] / 1e6, answer["cpu_ns"] / 1e6, output)

    def cpu_ms(self) -> float:
        """Return the processor time of everything that was ever started here."""
        return float(self._ask("used")["cpu_ns"] / 1e6)

    def living(self) -> list[int]:
        """Return the pids of everything that was ever started here and lives."""
        return [process.pid for process in reaper.descendants(self._process.pid)]

    def wait_until(self, pid: int, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``ready`` says so. Raises Broken when ``pid`` ends or time runs out."""
        limit = time.monotonic() + timeout_s
        while not ready():
            if not self._ask("alive", pid=pid)["alive"]:
                raise Broken(f"it ended at once: {self.tail()}")
            if time.monotonic() > limit:
                raise Broken(f"it does not answer after {timeout_s} s: {self.tail()}")
            time.sleep(_LOOK_S)

    def end(self, pid: int, timeout_s: float = 20) -> None:
        """End the program ``pid`` and wait for its end."""
        self._ask("end", pid=pid, timeout_s=timeout_s)

    def tail(self) -> str:
        """Return the end of the log."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()[-_TAIL_BYTES:]

    def close(self) -> None:
        """End everything that was started here."""
        self._ask("clear")
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, what: str, **details: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"ask": what, **details}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Broken(f"the reaper ended while asked to {what}")
        answer = json.loads(line)
        if "error" in answer:
            raise Broken(f"cannot {what} {details.get('arguments', '')}: {answer['error']}")
        return answer


def _paths() -> list[str]:
    """Return where this package and whatever was asked for by PYTHONPATH are found."""
    given = os.environ.get("PYTHONPATH")
    return [_ROOT, given] if given else [_ROOT]
