"""Progress: lines in a file, lines that change in place on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from casemate.cli import progress
from casemate.cli.output import OUT
from casemate.errors import Unavailable
from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine

PULL: list[dict[str, Any]] = [
    {"status": "Pulling from library/x", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "aaa"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "bbb"},
    {"status": "Downloading", "progressDetail": {"current": 500, "total": 1000}, "id": "aaa"},
    {"status": "Download complete", "progressDetail": {}, "id": "aaa"},
    {"status": "Pull complete", "progressDetail": {}, "id": "bbb"},
    {"status": "Digest: sha256:1"},
]


@pytest.fixture
def screen() -> Iterator[tuple[int, int]]:
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 60, 0, 0))
    yield outer, inner
    os.close(outer)
    os.close(inner)


def shown_on(outer: int) -> str:
    """Return everything that was written to a terminal."""
    data = b""
    while select.select([outer], [], [], 0)[0]:
        data += os.read(outer, 1 << 16)
    return data.decode()


def test_a_file_gets_a_line_for_each_change(capfd: pytest.CaptureFixture[str]) -> None:
    progress.display(PULL, OUT)
    assert capfd.readouterr().out == (
        "latest: Pulling from library/x\naaa: Pulling fs layer\nbbb: Pulling fs layer\n"
        "aaa: Download complete\nbbb: Pull complete\nDigest: sha256:1\n"
    )


def test_a_terminal_shows_each_layer_in_its_line(screen: tuple[int, int]) -> None:
    outer, inner = screen
    progress.display(PULL, inner)
    shown = shown_on(outer)
    assert shown.startswith("latest: Pulling from library/x\r\naaa: Pulling fs layer\r\nbbb: ")
    # Two lines up for the first layer, one for the second; what was there is erased.
    assert "\x1b[2A\r\x1b[2Kaaa: Downloading     500B/1kB\r\x1b[2B" in shown
    assert "\x1b[1A\r\x1b[2Kbbb: Pull complete\r\x1b[1B" in shown
    assert shown.endswith("Digest: sha256:1\r\n")


def test_what_only_counts_is_not_drawn_all_the_time(
    screen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, inner = screen
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1.0)
    many = [
        {"status": "Downloading", "progressDetail": {"current": n, "total": 10000}, "id": "a"}
        for n in range(1, 10000)
    ]
    progress.display(many, inner)
    assert len(shown_on(outer)) < 200


def test_lines_that_left_the_screen_are_left_alone(screen: tuple[int, int]) -> None:
    outer, inner = screen
    layers = [{"status": "Waiting", "progressDetail": {}, "id": f"l{n}"} for n in range(20)]
    done = [{**layer, "status": "Done"} for layer in layers]
    progress.display([*layers, *done], inner)
    shown = shown_on(outer)
    assert "l0: Done" not in shown and "l19: Done" in shown


def test_lines_are_cut_to_the_terminal_and_cleaned(screen: tuple[int, int]) -> None:
    outer, inner = screen
    nasty = {"status": "x" * 100 + "\x1b[2J", "progressDetail": {}, "id": "\x1b]0;t\x07"}
    progress.display([nasty], inner)
    shown = shown_on(outer)
    assert "\x1b" not in shown
    assert len(shown.rstrip("\r\n")) == 59


def test_a_bar_needs_room() -> None:
    detail = {"current": 500, "total": 1000}
    assert progress.counted(detail, 80) == "    500B/1kB"
    assert progress.counted(detail, 120) == f"[{'=' * 25}>{' ' * 25}]     500B/1kB"
    assert progress.counted({"current": 5}, 120) == "      5B"
    assert progress.counted({"current": 2000, "total": 1000}, 80) == "     2kB"
    assert progress.counted({"current": 1, "total": 3, "units": "files"}, 80) == "1/3 files"
    assert progress.counted({}, 80) == ""


def test_an_error_in_the_stream_ends_it(capfd: pytest.CaptureFixture[str]) -> None:
    stream = [PULL[0], {"errorDetail": {"message": "manifest unknown"}, "error": "x"}, PULL[1]]
    with pytest.raises(Unavailable, match="manifest unknown"):
        progress.display(stream, OUT)
    assert capfd.readouterr().out == "latest: Pulling from library/x\n"


def test_quiet_shows_nothing_but_errors(capfd: pytest.CaptureFixture[str]) -> None:
    progress.display(PULL, -1)
    with pytest.raises(Unavailable):
        progress.display([{"error": "no"}], -1)
    assert capfd.readouterr().out == ""


def test_pull_says_the_default_tag_and_the_whole_name(
    cli: Cli, engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers["POST /images/create"] = (200, b'{"status":"Done"}\r\n{"status":"Well"}\r\n')
    assert cli("pull", "debian") == 0
    assert capfd.readouterr().out == (
        "Using default tag: latest\nDone\nWell\ndocker.io/library/debian:latest\n"
    )
    failure = b'{"errorDetail":{"message":"denied","hint":"log in"},"error":"denied"}'
    engine.answers["POST /images/create"] = (200, failure)
    assert cli("pull", "-q", "debian:1") == 1
    assert capfd.readouterr() == ("", "denied\nhint: log in\n")
