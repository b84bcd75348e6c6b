"""What the command sends, beside what docker's own command sends for the same words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casemate.cli.main import run
from unit.cli.commandlines import COMMANDS, CREATE, REFUSED, SHOWN, TEMPLATES
from unit.cli.fakeengine import FakeEngine, Request, fake_engine
from unit.cli.samples import INSPECTED, LISTS

DOCKER = shutil.which("docker")


def _docker_version() -> int:
    if DOCKER is None:
        return 0
    shown = subprocess.run([DOCKER, "--version"], capture_output=True, text=True, check=False)
    words = shown.stdout.split()
    return int(words[2].partition(".")[0]) if len(words) > 2 else 0


pytestmark = pytest.mark.skipif(
    _docker_version() < 27, reason="needs a docker command that speaks API 1.47 (27 or later)"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the files that the options name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env").write_bytes(b"\xef\xbb\xbfA=file\n# no\n\n  B=with space \nHOME\nNOPE\n")
    (tmp_path / "bad").write_text("A B=c\n")
    (tmp_path / "labels").write_text("a=file\nb=c\n")
    (tmp_path / "file.tar").write_bytes(b"x" * 1000)
    (tmp_path / "profile.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW",\n "x": [1, 2]}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("UNKNOWN_TO_US", raising=False)
    monkeypatch.delenv("DOCKER_DEFAULT_PLATFORM", raising=False)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def engine(place: Path) -> Iterator[FakeEngine]:
    answers = {
        "POST /containers/create": (201, {"Id": "abc", "Warnings": []}),
        "GET /containers/json": (200, []),
        "GET /images/json": (200, []),
        "GET /networks": (200, []),
        "GET /volumes": (200, {"Volumes": []}),
        "GET /images/a/history": (200, []),
        "DELETE /images/a": (200, []),
        "DELETE /images/b": (200, []),
        "GET /networks/n": (200, {"Name": "n"}),
        "GET /events": (200, b""),
        "POST /commit": (201, {"Id": "sha256:abc"}),
        "POST /volumes/create": (201, {"Name": "v"}),
        "POST /containers/a/wait": (200, {"StatusCode": 3}),
        "GET /containers/c/json": (
            200,
            {"Id": "cc", "Config": {"Tty": False, "OpenStdin": True}, "State": {"Running": False}},
        ),
        "POST /containers/c/exec": (201, {"Id": "ee"}),
    }
    with fake_engine(str(place), answers) as running:
        yield running


def both(engine: FakeEngine, words: list[str]) -> tuple[list[Request], list[Request], int, int]:
    """Run docker's command and ours; return what each one sent and its exit status."""
    assert DOCKER
    theirs = subprocess.run(
        [DOCKER, *words],
        env={**os.environ, "DOCKER_HOST": engine.address},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    first = engine.requests[:]
    engine.requests.clear()
    if os.path.exists("id"):  # of --cidfile
        os.unlink("id")
    status = run(["-H", engine.address, *words])
    return first, engine.requests[:], theirs.returncode, status


def split(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


def normal(document: Any) -> Any:
    """Make equal what docker's command sends in a random order."""
    if isinstance(document, dict):
        same = {name: normal(value) for name, value in document.items()}
        for name in ("Env", "Binds"):
            if isinstance(same.get(name), list):
                same[name] = sorted(same[name])
        return same
    return [normal(item) for item in document] if isinstance(document, list) else document


@pytest.mark.parametrize("line", CREATE)
def test_the_body_of_create_is_dockers(engine: FakeEngine, line: str) -> None:
    theirs, ours, their_status, our_status = both(engine, ["create", *split(line)])
    assert their_status == 0, theirs
    assert our_status == 0
    assert len(theirs) == len(ours) == 1
    assert ours[0].query == theirs[0].query
    mine, docker = normal(ours[0].document), normal(theirs[0].document)
    for part in ("HostConfig", "NetworkingConfig"):
        for name in mine[part].keys() | docker[part].keys():
            assert mine[part].get(name) == docker[part].get(name), name
    assert mine == docker


@pytest.mark.parametrize("line", REFUSED)
def test_what_docker_refuses_is_refused_with_its_status(engine: FakeEngine, line: str) -> None:
    theirs, ours, their_status, our_status = both(engine, ["run", "-d", *split(line)])
    assert not theirs
    assert not ours
    assert our_status == their_status


@pytest.mark.parametrize("line", COMMANDS)
def test_requests_are_dockers(
    engine: FakeEngine, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    theirs, ours, their_status, our_status = both(engine, split(line))
    seen = [(r.method, r.path, _plain(r.query), _body(r)) for r in ours]
    wanted = [(r.method, r.path, _plain(r.query), _body(r)) for r in theirs]
    if line.startswith("exec"):  # docker looks at the container before, only for its message
        wanted = wanted[1:]
    if line.startswith("attach"):  # docker begins to wait before it looks
        wanted = [request for request in wanted if not request[1].endswith("/wait")]
    assert sorted(seen, key=str) == sorted(wanted, key=str)
    assert our_status == their_status


def _plain(query: dict[str, list[str]]) -> dict[str, Any]:
    def value(text: str) -> Any:
        return json.loads(text) if text.startswith("{") else text

    return {name: [value(v) for v in values] for name, values in query.items()}


def _body(request: Request) -> Any:
    if request.headers.get("content-type") == "application/json":
        if request.path.endswith("/update"):  # Go sends what is not given as nothing
            return {name: value for name, value in request.document.items() if value}
        return request.document
    return request.body


def printed(engine: FakeEngine, words: list[str]) -> tuple[str, int]:
    """Return what docker's command prints on standard output, and its exit status."""
    assert DOCKER
    done = subprocess.run(
        [DOCKER, *words],
        env={**os.environ, "DOCKER_HOST": engine.address},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.stdout.decode(), done.returncode


@pytest.mark.parametrize("line", SHOWN)
def test_lists_look_like_dockers(
    engine: FakeEngine, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers = {f"GET {path}": (200, document) for path, document in LISTS.items()}
    theirs, status = printed(engine, split(line))
    assert run(["-H", engine.address, *split(line)]) == status
    ours = capfd.readouterr().out
    if "images" in line:  # docker's command prints names in a random order
        ours, theirs = ("\n".join(sorted(text.split("\n"))) for text in (ours, theirs))
    assert ours == theirs


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_are_dockers(
    engine: FakeEngine, template: str, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers = {"GET /containers/c/json": (200, INSPECTED)}
    words = ["inspect", "--type", "container", "-f", template, "c"]
    theirs, status = printed(engine, words)
    assert run(["-H", engine.address, *words]) == status
    assert capfd.readouterr().out == theirs
