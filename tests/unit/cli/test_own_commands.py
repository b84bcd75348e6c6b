"""The commands that docker does not have: plan, fsck, df, bootstrap, doctor; and info."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from casemate.cli.bootstrap import busybox, debian, sources
from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine, Request

Capture = pytest.CaptureFixture[str]


def test_plan_sends_what_create_sends_and_prints_the_text(
    cli: Cli, engine: FakeEngine, capfd: Capture
) -> None:
    plan = {"Text": "1 pivot\x1b[2J\n2 exec\n", "Plan": {"steps": []}, "Spec": {}}
    engine.answers["POST /casemate/plan"] = (200, plan)
    engine.answers["POST /containers/create"] = (201, {"Id": "x"})
    options = ["--read-only", "--isolation", "vm", "--platform", "linux/arm64", "debian", "sh"]
    assert cli("plan", *options) == 0
    assert cli("create", *options) == 0
    seen = capfd.readouterr().out
    assert seen == "1 pivot\x1b[2J\n2 exec\nx\n"  # raw: not a terminal
    first, second = engine.requests
    assert (first.document, first.query) == (second.document, second.query)
    assert cli("plan", "--format", "json", "debian") == 0
    assert json.loads(capfd.readouterr().out) == plan
    assert cli("plan", "--format", "{{.Text}}", "debian") == 1


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


PROBLEM = {"Kind": "blob", "Name": "sha256:1", "Problem": "wrong digest", "Repair": ""}


@pytest.mark.parametrize(
    ("problems", "status", "end"),
    [
        ([], 0, "checked 3 blobs, 2 layers: everything is well\n"),
        ([PROBLEM], 1, "checked 3 blobs, 2 layers: 1 problem, 0 repaired, 1 left\n"),
        (
            [PROBLEM, {**PROBLEM, "Repair": "removed"}],
            1,
            "blob sha256:1: wrong digest (removed)\n"
            "checked 3 blobs, 2 layers: 2 problems, 1 repaired, 1 left\n",
        ),
        ([{**PROBLEM, "Repair": "removed"}], 0, "1 problem, 1 repaired, 0 left\n"),
    ],
)
def test_fsck_ends_with_1_when_problems_are_left(
    cli: Cli, engine: FakeEngine, capfd: Capture, problems: list[Any], status: int, end: str
) -> None:
    counts = {"Checked": {"Blobs": 3, "Layers": 2}}
    engine.answers["POST /casemate/fsck"] = (200, lines(*problems, counts))
    assert cli("fsck", "--repair") == status
    assert capfd.readouterr().out.endswith(end)
    assert engine.requests[0].query == {"repair": ["1"]}
    assert cli("fsck", "--format", "json") == status
    assert capfd.readouterr().out.count("\n") == len(problems) + 1


def test_a_check_that_breaks_off_is_not_a_good_one(
    cli: Cli, engine: FakeEngine, capfd: Capture
) -> None:
    engine.answers["POST /casemate/fsck"] = (200, b"")
    assert cli("fsck") == 1
    assert "broke off" in capfd.readouterr().err


def test_info_shows_the_engines_own_fields(cli: Cli, engine: FakeEngine, capfd: Capture) -> None:
    info = {
        "Containers": 2,
        "Driver": "erofs",
        "DriverStatus": [["Backing", "ext4"]],
        "MemTotal": 1 << 30,
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Swarm": {"LocalNodeState": "inactive"},
        "Socket": "/run/x.sock",
        "EnginePid": 12,
        "WarmRooms": {"Ready": 2},
        "Warnings": ["WARNING: old kernel"],
    }
    engine.answers["GET /info"] = (200, info)
    assert cli("info") == 0
    seen = capfd.readouterr()
    for line in (
        " Containers: 2",
        " Storage Driver: erofs\n  Backing: ext4",
        " Total Memory: 1GiB",
        " Security Options:\n  seccomp\n   Profile: builtin",
        " Socket: /run/x.sock\n Engine Pid: 12\n Warm Rooms:\n  Ready: 2",
    ):
        assert f"{line}\n" in seen.out
    assert "Swarm" not in seen.out
    assert seen.err == "WARNING: old kernel\n"
    assert cli("info", "-f", "{{.Socket}} {{.EnginePid}} {{.ClientInfo.Version}}") == 0
    assert capfd.readouterr().out.startswith("/run/x.sock 12 ")
    assert cli("info", "--format", "json") == 0
    assert json.loads(capfd.readouterr().out)["WarmRooms"] == {"Ready": 2}


def test_doctor_becomes_the_doctor(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def execute(path: str, words: list[str]) -> None:
        seen.append((path, words))
        raise OSError(2, "No such file")

    monkeypatch.setattr(os, "execv", execute)
    assert cli("doctor", "--format", "json") == 1
    words = [sys.executable, "-m", "casemate.doctor", "--format", "json"]
    assert seen == [(sys.executable, words)]


def _program(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(script)
    (directory / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path / "bin"


def test_debian_streams_what_mmdebstrap_writes(
    cli: Cli, engine: FakeEngine, programs: Path, capfd: Capture, tmp_path: Path
) -> None:
    _program(programs, "mmdebstrap", f'#!/bin/sh\necho "$@" > {tmp_path}/args\nprintf the-tar\n')
    engine.answers["POST /images/create"] = (200, lines({"status": "sha256:" + "a" * 64}))
    words = ["--mirror", "http://m/debian", "--include", "curl,jq", "-c", "USER x", "debian:trixie"]
    assert cli("bootstrap", *words) == 0
    assert capfd.readouterr().out == f"debian:trixie {'a' * 12}\n"
    assert (tmp_path / "args").read_text() == (
        "--variant=minbase --format=tar --include=curl,jq -- trixie - http://m/debian\n"
    )
    request = engine.requests[0]
    assert request.body == b"the-tar"
    assert request.query == {
        "fromSrc": ["-"],
        "repo": ["docker.io/library/debian"],
        "tag": ["trixie"],
        "changes": ['CMD ["bash"]', "USER x"],
    }
    assert cli("bootstrap", "-q", "-t", "me/base:1", "--mirror", "m", "debian") == 0
    assert capfd.readouterr().out == f"sha256:{'a' * 64}\n"
    assert engine.requests[1].query["repo"] == ["docker.io/me/base"]


def test_when_mmdebstrap_fails_the_archive_never_ends(
    cli: Cli, engine: FakeEngine, programs: Path, capfd: Capture
) -> None:
    """The engine sees a request that broke off, and so makes no image."""
    script = "#!/bin/sh\nprintf half\necho 'E: no such suite' >&2\nexit 25\n"
    _program(programs, "mmdebstrap", script)
    assert cli("bootstrap", "-q", "--mirror", "m", "debian:nope") == 1
    assert capfd.readouterr() == (
        "",
        "mmdebstrap failed with status 25: no image was made\nhint: E: no such suite\n",
    )
    assert not engine.requests  # none arrived whole


def test_a_missing_mmdebstrap_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cli("bootstrap", "--mirror", "m", "debian") == 1
    assert "hint: install the package mmdebstrap\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["fedora"], ["busybox:1"], ["--mirror", "x", "busybox"], ["debian:a/b"], ["debian:-x;y"],
     ["--variant", "foo", "debian"], ["--variant", "--x", "debian"]],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(cli: Cli, engine: FakeEngine, words: list[str]) -> None:
    assert cli("bootstrap", *words) == 1
    assert not engine.requests


STANZAS = """
Types: deb
# a comment
URIs: http://m.lan/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://m.lan/security
Suites: bookworm-security
Components: main
Enabled: yes

Types: deb
URIs: http://else.lan/x
Suites: nodistro
Components: main

Types: deb
URIs: http://off.lan/debian
Suites: bookworm
Components: main
Enabled: no
"""


def test_the_machines_own_sources_are_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)
    (tmp_path / "sources.list").write_text(
        "# deb http://no.lan/ bookworm main\n"
        "deb [arch=amd64 signed-by=/k] http://l.lan/debian bookworm main # x\n"
        "deb-src http://l.lan/debian bookworm main\nbroken\n"
    )
    assert sources.lines_for("bookworm", str(tmp_path)) == [
        "deb [signed-by=/k] http://l.lan/debian bookworm main",
        "deb [signed-by=/usr/share/keyrings/k.gpg] http://m.lan/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/k.gpg] http://m.lan/debian bookworm-updates"
        " main contrib",
        "deb http://m.lan/security bookworm-security main",
    ]
    assert sources.lines_for("sid", str(tmp_path)) == [
        "deb [signed-by=/k] http://l.lan/debian sid main"
    ]


def test_a_machine_without_a_debian_mirror_needs_one_given(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no Debian mirror"):
        sources.lines_for("sid", str(tmp_path))


def test_the_suite_is_a_word() -> None:
    assert debian.own_suite().isalnum()


def elf(*types: int) -> bytes:
    """Return the head of a 64-bit program with segments of ``types``."""
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + (64).to_bytes(8, "little") + bytes(14)
    head += (56).to_bytes(2, "little") + len(types).to_bytes(2, "little")
    return head.ljust(64, b"\0") + b"".join(t.to_bytes(4, "little").ljust(56, b"\0") for t in types)


def test_a_busybox_that_needs_libraries_is_told_apart() -> None:
    assert busybox.is_static(elf(1, 6))
    assert not busybox.is_static(elf(1, 3))
    assert not busybox.is_static(b"#!/bin/sh\n".ljust(100))
    assert not busybox.is_static(b"")


def test_the_busybox_image_is_small_whole_and_always_the_same() -> None:
    made = b"".join(busybox.archive(b"program", ["ls", "sh"]))
    assert made == b"".join(busybox.archive(b"program", ["ls", "sh"]))
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        entries = {entry.name: entry for entry in tar}
        content = tar.extractfile("bin/busybox")
        assert content and content.read() == b"program"
    assert entries["bin/sh"].linkname == "busybox"
    assert entries["tmp"].mode == 0o1777
    assert {"etc/passwd", "etc/group", "root", "proc", "dev", "sys"} <= set(entries)


def test_busybox_is_imported(
    cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setattr(busybox, "find", lambda: (b"x", ["sh"]))
    here = "GET /images/busybox:latest/json"
    engine.answers[here] = (404, {"message": "No such image: busybox"})
    engine.answers["POST /images/create"] = (200, lines({"status": "sha256:" + "b" * 64}))
    assert cli("bootstrap", "busybox") == 0
    assert capfd.readouterr().out == f"busybox:latest {'b' * 12}\n"
    assert engine.requests[1].query["changes"][0] == 'CMD ["sh"]'
    engine.answers[here] = (200, {"Id": "sha256:" + "c" * 64})
    assert cli("bootstrap", "busybox") == 0
    assert capfd.readouterr().out.startswith(f"busybox:latest {'c' * 12} (it is here already")
    assert len(engine.requests) == 3
    assert cli("bootstrap", "--force", "-q", "busybox") == 0
    assert capfd.readouterr().out == f"sha256:{'b' * 64}\n"


def test_prune_asks_first(
    cli: Cli, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    report = {"ContainersDeleted": ["abc"], "SpaceReclaimed": 1500}
    engine.answers["POST /containers/prune"] = (200, report)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli("container", "prune") == 0
    assert not engine.requests
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli("container", "prune") == 0
    assert capfd.readouterr().out.endswith(
        "[y/N] Deleted Containers:\nabc\n\nTotal reclaimed space: 1.5kB\n"
    )


def test_requests_to_many_containers_are_made_at_once(
    cli: Cli, engine: FakeEngine, capfd: Capture
) -> None:
    import threading

    together = threading.Barrier(5, timeout=20)

    def stop(request: Request) -> tuple[int, Any]:
        together.wait()  # only when all five are under way
        return (404, {"message": "gone"}) if "/c3/" in request.path else (204, b"")

    names = [f"c{n}" for n in range(5)]
    engine.answers = {f"POST /containers/{name}/stop": stop for name in names}
    assert cli("stop", *names) == 1
    seen = capfd.readouterr()
    assert seen.out == "c0\nc1\nc2\nc4\n"
    assert seen.err == "Error response from daemon: gone\n"


def test_system_prune_goes_on_where_the_engine_has_no_such_objects(
    cli: Cli, engine: FakeEngine, capfd: Capture
) -> None:
    images = {"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": "x"}], "SpaceReclaimed": 2000}
    engine.answers = {
        "POST /containers/prune": (200, {"ContainersDeleted": None, "SpaceReclaimed": 0}),
        "POST /networks/prune": (404, {"message": "page not found"}),
        "POST /volumes/prune": (404, {"message": "page not found"}),
        "POST /images/prune": (200, images),
    }
    assert cli("system", "prune", "-f", "--volumes") == 0
    assert capfd.readouterr().out == (
        "Deleted Images:\nuntagged: a:1\ndeleted: x\n\nTotal reclaimed space: 2kB\n"
    )
