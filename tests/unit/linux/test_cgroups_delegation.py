"""Where a process is in its container's part of the cgroups, by what the kernel tells."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest

from casemate.linux.cgroups.delegation import place_of

PATH = "casemate-1/abc"


def told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    real = builtins.open

    def fake(name: Any, *more: Any, **also: Any) -> Any:
        return io.StringIO(text) if name == "/proc/7/cgroup" else real(name, *more, **also)

    monkeypatch.setattr(builtins, "open", fake)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("0::/casemate-1/abc/system", "system"),
        ("0::/casemate-1/abc/system/init.scope", "system/init.scope"),
        ("0::/above/casemate-1/abc/system/a/b", "system/a/b"),
        # A name that looks like the beginning of the path again is one of the container's.
        ("0::/casemate-1/abc/system/casemate-1/abc/system/x", "system/casemate-1/abc/system/x"),
        ("0::/elsewhere", "system"),
        ("", "system"),
    ],
)
def test_the_place_is_below_the_part(
    monkeypatch: pytest.MonkeyPatch, line: str, place: str
) -> None:
    told(monkeypatch, f"4:memory:/casemate-1/abc\n{line}\n")
    assert place_of(PATH, 7) == place
