"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

from bench import images, lab, machine, report
from bench.failure import Broken, Missing
from bench.interleave import Effort
from bench.report import Report
from bench.result import Result
from bench.roster import Roster
from bench.scenarios import SCENARIOS
from casemate.errors import Error

_RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
_QUICK_ROUNDS = 5


def main() -> int:
    """Measure what the command line asks for; 0 when everything asked for was measured."""
    given = _parser().parse_args()
    if os.geteuid() != 0:
        print("bench: it needs root: for namespaces, mounts and cgroups", file=sys.stderr)
        return 1
    if given.inside:
        return _inside(given)
    if os.path.realpath(given.work).startswith(tuple(f"{place}/" for place in lab.PRIVATE)):
        print(f"bench: --work cannot be below {', '.join(lab.PRIVATE)}", file=sys.stderr)
        return 1
    os.makedirs(given.work, exist_ok=True)
    with _only_one(given.work) as lock, lab.swept(given.work):
        if _wants_debian(given):
            images.make_debian(given.work)
        return lab.enter(sys.argv[1:], lock)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("bench/run", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=30, help="rounds of each scenario")
    parser.add_argument("--image-rounds", type=_count, help="rounds of pull, load and push")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_ROUNDS} rounds, 1 of images")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds after each measurement")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="scenario (again)")
    parser.add_argument("--work", default="/var/tmp/casemate-bench", help="on a disk; not /tmp")
    parser.add_argument("--results", default=_RESULTS, help="directory of the JSON files")
    parser.add_argument(lab.INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _effort(given: argparse.Namespace) -> Effort:
    rounds = _QUICK_ROUNDS if given.quick else given.rounds
    image_rounds = given.image_rounds or max(1 if given.quick else 3, rounds // 10)
    return Effort(rounds, image_rounds, 1 if given.quick else 3, given.pause)


def _wants_debian(given: argparse.Namespace) -> bool:
    return not given.only or not {"pull", "load", "push"}.isdisjoint(given.only)


@contextlib.contextmanager
def _only_one(work: str) -> Iterator[int]:
    with open(f"{work}/lock", "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"bench: another run has {work}")
        yield file.fileno()


def _inside(given: argparse.Namespace) -> int:
    # Process 1 of its namespace gets no signal that it does not ask for.
    signal.signal(signal.SIGTERM, _interrupted)
    directory = f"{os.path.abspath(given.work)}/lab"
    _keep_bytecode(f"{directory}/bytecode")
    lab.furnish(directory)
    facts = machine.facts(directory)
    results: dict[str, Result] = {}
    with Roster(given.work, directory) as roster:
        for name in given.only or SCENARIOS:
            _measure(name, roster, _effort(given), results)
        date = time.strftime("%Y-%m-%dT%H-%M-%S")
        found = Report(date, facts, roster.versions, roster.missing, results)
        print(report.markdown(found), end="")
        print(f"\nwritten to {report.write(found, given.results)}", file=sys.stderr)
    return 1 if roster.missing.keys() & set(SCENARIOS) else 0


def _keep_bytecode(directory: str) -> None:
    """Have programs in Python compiled once, as an installed package is; a checkout may not be."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = directory


def _measure(name: str, roster: Roster, effort: Effort, results: dict[str, Result]) -> None:
    print(f"bench: {name}", file=sys.stderr)
    try:
        results[name] = SCENARIOS[name](roster, effort)
    except (Missing, Broken, Error) as error:
        roster.missing[name] = str(error).strip()


def _interrupted(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
