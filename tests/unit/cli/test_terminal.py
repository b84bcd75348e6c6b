"""The terminal in raw mode, and the keys that leave a container."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli import terminal
from casemate.cli.signals import FORWARDED, RESIZED, SignalPipe, name_of
from casemate.cli.terminal import KeyWatch, QuietTerminal, RawTerminal
from casemate.http.detachkeys import detach_keys


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    outer, inner = pty.openpty()
    monkeypatch.setattr(terminal, "STDIN", inner)
    yield inner
    os.close(outer)
    os.close(inner)


def flags(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[3])


def test_raw_mode_ends_with_the_context_even_after_an_error(tty: int) -> None:
    before = termios.tcgetattr(tty)
    with pytest.raises(KeyError), RawTerminal() as raw:
        assert not flags(tty) & (termios.ECHO | termios.ICANON | termios.ISIG)
        raw.restore()
        assert termios.tcgetattr(tty) == before
        raise KeyError
    assert termios.tcgetattr(tty) == before


def test_a_terminal_that_is_not_wanted_stays_as_it_is(tty: int) -> None:
    before = termios.tcgetattr(tty)
    with RawTerminal(wanted=False):
        assert termios.tcgetattr(tty) == before


def test_what_is_no_terminal_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(terminal, "STDIN", reading)
    with RawTerminal():
        pass
    os.close(reading)
    os.close(writing)


def test_a_password_is_not_echoed(tty: int) -> None:
    with QuietTerminal():
        assert not flags(tty) & termios.ECHO
    assert flags(tty) & termios.ECHO


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-@,ctrl-a,ctrl-z", b"\x00\x01\x1a"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("a,B,DEL", b"aB\x7f"),
    ],
)
def test_detach_keys_are_written_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert detach_keys(text) == keys


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "ab", "a,,b", "é"])
def test_unknown_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        detach_keys(text)


@given(st.lists(st.binary(max_size=4)), st.sampled_from([b"\x10\x11", b"aab", b"aa", b"x", b""]))
def test_everything_typed_goes_on_up_to_the_keys(pieces: list[bytes], keys: bytes) -> None:
    watch = KeyWatch(keys)
    sent = b""
    for piece in pieces:
        more, detached = watch.feed(piece)
        sent += more
        if detached:
            break
    else:
        whole = b"".join(pieces)
        assert not keys or keys not in whole
        # What may still become the keys is held back, and nothing else.
        assert whole.startswith(sent)
        assert keys.startswith(whole[len(sent) :]) if keys else sent == whole
        return
    assert b"".join(pieces).find(keys) == len(sent)


@given(st.lists(st.sampled_from([b"a", b"b", b"aa", b"ab"]), max_size=8))
def test_keys_are_found_however_they_arrive(pieces: list[bytes]) -> None:
    watch = KeyWatch(b"aab")
    found = any(watch.feed(piece)[1] for piece in pieces)
    assert found == (b"aab" in b"".join(pieces))


def test_signals_arrive_at_the_pipe_and_handlers_come_back() -> None:
    import signal

    before = signal.getsignal(signal.SIGUSR1)
    with SignalPipe((signal.SIGUSR1, RESIZED)) as caught:
        assert caught.arrived() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), RESIZED)
        assert sorted(caught.arrived()) == sorted([signal.SIGUSR1, RESIZED])
    assert signal.getsignal(signal.SIGUSR1) == before


def test_signals_have_the_names_of_the_api() -> None:
    assert [name_of(n) for n in (1, 2, 15, 10, 34, 35)] == [
        *("HUP", "INT", "TERM", "USR1", "RTMIN", "35"),
    ]
    assert 9 not in FORWARDED and 17 not in FORWARDED and RESIZED not in FORWARDED
