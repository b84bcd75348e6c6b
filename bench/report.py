"""The figures for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bench import bars, figures
from bench.bars import Bar, Verdict
from bench.figures import Round
from bench.result import Result


class Report(NamedTuple):
    """One run: when, on what machine, with which programs, and what was found and not found."""

    date: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    missing: Mapping[str, str]
    results: Mapping[str, Result]


def write(report: Report, directory: str) -> str:
    """Write the JSON file of the run and return its path."""
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/{report.date}.json"
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        json.dump(_document(report), file, indent=1)
    os.replace(f"{path}.partial", path)
    return path


def _document(report: Report) -> dict[str, Any]:
    return {
        "date": report.date,
        "machine": report.machine,
        "versions": report.versions,
        "missing": report.missing,
        "scenarios": {name: _scenario(result) for name, result in report.results.items()},
        "bars": [_bar(verdict) for verdict in bars.judge(report.results)],
    }


def _scenario(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "notes": result.notes,
        "failures": result.turns.failures,
        "cases": {
            name: {
                "summary": {part: figures.part(rounds, part)._asdict() for part in _parts(rounds)},
                "rounds": [round_._asdict() for round_ in rounds],
            }
            for name, rounds in result.turns.rounds.items()
        },
    }


def _bar(verdict: Verdict) -> dict[str, Any]:
    return {
        **verdict.bar._asdict(),
        "share": float(verdict.bar.share),
        "ours_ms": verdict.ours_ms,
        "peer_ms": verdict.peer_ms,
        "ratio": verdict.ratio,
        "met": verdict.met,
    }


def _parts(rounds: list[Round]) -> list[str]:
    return [*rounds[0].parts, "cpu"]


def markdown(report: Report) -> str:
    """Return the tables that are printed."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from _about(report)
    for name, result in report.results.items():
        yield from _table(name, result)
    verdicts = bars.judge(report.results)
    if verdicts:
        yield from _verdicts(verdicts)
    for verdict in verdicts:
        if verdict.met is False and verdict.bar.part == "total":
            yield from _breakdown(verdict, report.results[verdict.bar.scenario])


def _about(report: Report) -> Iterator[str]:
    machine = report.machine
    yield f"# Benchmarks, {report.date}"
    yield ""
    yield (
        f"{machine['processors']} processors ({machine['model']}), Linux {machine['kernel']},"
        f" {machine['file_system']}, cgroups {machine['cgroups']}, Python {machine['python']};"
        f" load average at the start {machine['load'][0]:.2f};"
        f" first move into a cgroup {min(machine['first_attach_ms']):.1f} to"
        f" {max(machine['first_attach_ms']):.1f} ms."
    )
    yield ""
    yield from (f"- {name}: {version}" for name, version in report.versions.items())
    yield from (f"- **not measured:** {name}: {why}" for name, why in report.missing.items())


def _table(name: str, result: Result) -> Iterator[str]:
    yield ""
    yield f"## {name}: {result.title}"
    yield ""
    yield "| case | n | min ms | median ms | p90 ms | CPU ms | load | × ours |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    cases = result.turns.rounds
    first = next(iter(cases.values()), None)
    ours = figures.part(first, "total").median if first and "total" in first[0].parts else None
    for case, rounds in cases.items():
        yield _row(case, rounds, ours)
    yield ""
    yield from (f"- {note}" for note in result.notes)
    for case, reasons in result.turns.failures.items():
        yield f"- **failed:** {case}, {len(reasons)} times: {'; '.join(sorted(set(reasons)))}"


def _row(case: str, rounds: list[Round], ours: float | None) -> str:
    cpu = figures.part(rounds, "cpu").mean
    load = figures.summary(r.load for r in rounds)
    if "total" not in rounds[0].parts:
        return f"| {case} | {len(rounds)} | | | | {cpu:.1f} | | |"
    total = figures.part(rounds, "total")
    ratio = f"{total.median / ours:.2f}" if ours else ""
    return (
        f"| {case} | {total.rounds} | {total.minimum:.1f} | {total.median:.1f} | {total.p90:.1f}"
        f" | {cpu:.1f} | {load.minimum:.1f}–{load.p90:.1f} | {ratio} |"
    )


def _verdicts(verdicts: list[Verdict]) -> Iterator[str]:
    yield ""
    yield "## Bars"
    yield ""
    yield "| scenario | bar | ours ms | peer ms | peer / ours | met |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for verdict in verdicts:
        bar = verdict.bar
        peer = "" if verdict.peer_ms is None else f"{verdict.peer_ms:.1f}"
        ratio = "" if verdict.ratio is None else f"{verdict.ratio:.2f}"
        met = {True: "yes", False: "**no**", None: "not known"}[verdict.met]
        cells = (bar.scenario, _wish(bar), f"{verdict.ours_ms:.1f}", peer, ratio, met)
        yield f"| {' | '.join(cells)} |"


def _wish(bar: Bar) -> str:
    what = {"cpu": "CPU ", "total": ""}.get(bar.part, f"{bar.part}: ")
    if bar.limit_ms:
        shown = f"; beside {bar.peer}" if bar.peer else ""
        return f"{what}at most {bar.limit_ms:.0f} ms{shown}"
    return f"{what}at most {bar.share} of {bar.peer}"


def _breakdown(verdict: Verdict, result: Result) -> Iterator[str]:
    bar, rounds = verdict.bar, result.turns.rounds
    ours = rounds[bar.ours]
    parts = [part for part in ours[0].parts if part != "total"]
    if not parts:
        return
    yield ""
    yield f"### {bar.scenario}: where the time goes ({_wish(bar)}; medians in ms)"
    yield ""
    shown = [name for name in rounds if set(parts) & set(rounds[name][0].parts)]
    yield f"| part | {' | '.join(shown)} |"
    yield "| --- |" + " --- |" * len(shown)
    for part in parts:
        cells = (
            f"{figures.part(rounds[name], part).median:.2f}"
            if part in rounds[name][0].parts
            else ""
            for name in shown
        )
        yield f"| {part} | {' | '.join(cells)} |"
