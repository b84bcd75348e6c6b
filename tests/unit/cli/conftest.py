from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casemate.cli.main import run
from unit.cli.fakeengine import FakeEngine, fake_engine

Cli = Callable[..., int]


@pytest.fixture(autouse=True)
def plain_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CASEMATE_HOST", "CASEMATE_RUN", "CASEMATE_ROOT", "CASEMATE_API_VERSION",
                 "DOCKER_DEFAULT_PLATFORM"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("CASEMATE_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setenv("TZ", "UTC")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def cli() -> Cli:
    """Run a command line in this process; return its exit status."""
    return lambda *words: run([str(word) for word in words])


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with fake_engine(str(tmp_path)) as running:
        yield running
