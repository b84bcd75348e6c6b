"""What is read from the kernel and from ps, and how paths are told."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine import pathstat, top
from casemate.errors import Internal
from casemate.linux import counters


@pytest.mark.parametrize(
    ("mode", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | stat.S_ISVTX | 0o777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
        (stat.S_IFREG | stat.S_ISUID | stat.S_ISGID | 0o755, 1 << 23 | 1 << 22 | 0o755),
    ],
)
def test_modes_are_gos(mode: int, go: int) -> None:
    assert pathstat.go_mode(mode) == go


@given(st.text("ab./", max_size=20))
def test_a_path_is_absolute_and_plain(text: str) -> None:
    found = pathstat.wanted(text)
    assert found.path.startswith("/") and "//" not in found.path
    assert not {"..", "."} & set(found.path.split("/"))
    assert found.name and ("/" not in found.name or found.name == "/")


def test_links_are_resolved_inside(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, target in (("l", "/a"), ("up", "../../../a"), ("loop", "loop"), ("gone", "x/y")):
        (tmp_path / name).symlink_to(target)
    root = os.open(tmp_path, os.O_PATH)
    for path, target in (
        ("/l", "/a"),
        ("/up/z", "/a/z"),
        ("/gone/../b", "/x/b"),
        ("/none/./x", "/none/x"),
    ):
        assert pathstat.resolved(root, path) == target
    with pytest.raises(OSError, match="symbolic links"):
        pathstat.resolved(root, "/loop")
    os.close(root)


PS = "UID PID CMD\nroot 5 a  b\nroot 6 c\nroot - thread\nroot 7 d\nroot - e\n"


def test_lines_are_chosen_by_their_ids() -> None:
    assert top.parse(PS, {5, 7}) == {
        "Titles": ["UID", "PID", "CMD"],
        "Processes": [["root", "5", "a b"], ["root", "7", "d"], ["root", "-", "e"]],
    }


@given(st.text(max_size=200))
def test_whatever_ps_says_is_read_or_refused(text: str) -> None:
    for said in (text, f"PID CMD\n{text}"):
        try:
            found = top.parse(said, {1})
        except Internal:
            continue
        assert all(row[found["Titles"].index("PID")] in ("1", "-") for row in found["Processes"])


def test_our_own_counters_can_be_read() -> None:
    assert "lo" in counters.traffic(os.getpid())
    total, number = counters.processor_time()
    assert total > 0 and number == os.cpu_count()
