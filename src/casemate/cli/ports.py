"""Published and exposed ports as ``ps`` shows them: ``0.0.0.0:80-81->80-81/tcp``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def displayed(ports: list[dict[str, Any]]) -> str:
    """Return the ports of a container: neighbours as ranges, those on another port at the end."""
    runs: dict[tuple[str, str], list[int]] = {}
    finished: list[str] = []
    mapped: list[str] = []
    for port in sorted(ports, key=_order):
        inside, address, kind = port.get("PrivatePort", 0), port.get("IP", ""), port.get("Type", "")
        public = port.get("PublicPort", 0)
        if address and public != inside:
            mapped.append(f"{_joined(address, str(public))}->{inside}/{kind}")
            continue
        run = runs.get((address, kind))
        if run and inside == run[1] + 1:
            run[1] = inside
            continue
        if run:
            finished.append(_run_text(address, kind, run))
        runs[address, kind] = [inside, inside]
    finished += [_run_text(address, kind, run) for (address, kind), run in runs.items()]
    return ", ".join(finished + mapped)


def _order(port: dict[str, Any]) -> tuple[int, str, int, str]:
    return (
        port.get("PrivatePort", 0),
        port.get("IP", ""),
        port.get("PublicPort", 0),
        port.get("Type", ""),
    )


def _run_text(address: str, kind: str, run: list[int]) -> str:
    first, last = run
    text = str(first) if first == last else f"{first}-{last}"
    return f"{_joined(address, text)}->{text}/{kind}" if address else f"{text}/{kind}"


def _joined(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
