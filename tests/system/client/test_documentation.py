"""The blocks of docs/python.md, each run as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate import Engine
from support.engine import RunningEngine
from support.engines import place
from support.interpreter import python_tar

pytestmark = pytest.mark.root

PAGE = Path(__file__).resolve().parents[3] / "docs" / "python.md"
BLOCK = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)^```$", re.S | re.M)
BLOCKS = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
PLACES = ("/var/lib/sandboxes", "/run/sandboxes")


def run(name: str) -> None:
    code = BLOCKS[name]
    exec(compile(code, f"{PAGE}: {name}", "exec"), {"__name__": "__main__"})


@pytest.fixture(autouse=True)
def at_the_test_engine(
    engine: RunningEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASEMATE_HOST", f"unix://{engine.socket}")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def python_image(shared_engine: RunningEngine) -> Iterator[None]:
    with Engine(f"unix://{shared_engine.socket}") as api:
        api.images.import_tar(python_tar(), "python", "ENV PATH=/usr/local/bin:/bin")
        yield
        api.images.remove("python", force=True)


def test_every_block_is_run() -> None:
    assert PAGE.read_text(encoding="utf-8").count("```python\n") == len(BLOCKS)
    assert set(BLOCKS) == {*PLAIN, *WITH_PYTHON, "Hosting"}


PLAIN = ("One run", "Files in and out", "In an event loop", "An engine")
WITH_PYTHON = ("Untrusted code", "A pool of warm sandboxes")


@pytest.mark.parametrize("name", PLAIN)
def test_a_block_does_what_it_says(name: str) -> None:
    run(name)


@pytest.mark.usefixtures("python_image")
@pytest.mark.parametrize("name", WITH_PYTHON)
def test_a_block_that_runs_python_does_what_it_says(name: str) -> None:
    run(name)


def test_hosting_does_what_it_says(engine: RunningEngine) -> None:
    with Engine(f"unix://{engine.socket}") as api:
        Path("busybox.tar").write_bytes(b"".join(api.images.save("busybox")))
    home = RunningEngine(place())
    code = BLOCKS["Hosting"]
    for named, own in zip(PLACES, (home.root, home.run), strict=True):
        assert named in code
        code = code.replace(named, own)
    try:
        exec(compile(code, f"{PAGE}: Hosting", "exec"), {"__name__": "__main__"})
    finally:
        home.remove_everything()
