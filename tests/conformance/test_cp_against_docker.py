"""``casemate cp`` does what ``docker cp`` does: where things go, what they are called, failures."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.cli.main import run
from support.engine import RunningEngine
from support.files import got, put
from support.images import tar

pytestmark = pytest.mark.root
DOCKER = shutil.which("docker")

#: What is on both sides.
TREE = {
    "file": b"file",
    "dir/": b"",
    "dir/a": b"a",
    "dir/sub/": b"",
    "dir/sub/b": b"b",
    "flink": "file",
    "dlink": "dir",
    "gone": "nowhere",
}
SOURCES = (
    *("file", "dir", "dir/", "dir/.", "flink", "dlink", "dlink/", "gone", "none"),
    *("-L flink", "-L dlink", "-L dlink/."),
)
TARGETS = (
    *("", "/new", "/new/", "/file", "/dir", "/dir/", "/flink", "/dlink", "/dlink/"),
    *("/none/new", "/gone"),
)


@pytest.fixture(scope="module")
def place(shared_engine: RunningEngine) -> Iterator[tuple[RunningEngine, str]]:
    if not DOCKER:
        pytest.skip("needs docker's command")
    id_ = shared_engine.run_container("busybox", "sleep", "1000")
    yield shared_engine, id_
    shared_engine.client.call("DELETE", f"/containers/{id_}?force=1")


def both(engine: RunningEngine, words: list[str], before: object, after: object) -> None:
    """Run docker's command, look, begin anew, run ours, and look again: the same must be seen."""
    assert callable(before) and callable(after) and DOCKER
    before()
    theirs = subprocess.run(
        [DOCKER, "-H", f"unix://{engine.socket}", "cp", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    wanted = after()
    before()
    status = run(["-H", f"unix://{engine.socket}", "cp", *words])
    assert after() == wanted, theirs.stderr
    assert (status == 0) == (theirs.returncode == 0), theirs.stderr


@pytest.mark.parametrize("source", SOURCES)
def test_into_a_container(place: tuple[RunningEngine, str], source: str, tmp_path: Path) -> None:
    engine, id_ = place
    with tarfile.open(fileobj=io.BytesIO(tar(TREE))) as archive:
        archive.extractall(tmp_path, filter="data")
    *options, name = source.split()

    for target in TARGETS:

        def before() -> None:
            assert engine.exec(id_, "rm", "-rf", "/root/t").code == 0
            put(engine, id_, tar({"t/": b"", **{f"t/{n}": c for n, c in TREE.items()}}), "/root")

        def after() -> dict[str, tuple[bytes, int, str]]:
            found = got(engine, id_, "/root/t").items()
            return {n: (i.type, i.size, i.linkname) for n, i in found}

        both(engine, [*options, f"{tmp_path}/{name}", f"{id_}:/root/t{target}"], before, after)


@pytest.mark.parametrize("source", SOURCES)
def test_out_of_a_container(place: tuple[RunningEngine, str], source: str, tmp_path: Path) -> None:
    engine, id_ = place
    put(engine, id_, tar({"s/": b"", **{f"s/{n}": c for n, c in TREE.items()}}), "/root")
    *options, name = source.split()
    target_place = tmp_path / "t"

    for target in TARGETS:
        if name.endswith("/.") and target in ("/dlink", "/dlink/"):
            continue  # docker's command refuses: it takes the link for the directory's name

        def before() -> None:
            shutil.rmtree(target_place, ignore_errors=True)
            with tarfile.open(fileobj=io.BytesIO(tar(TREE))) as archive:
                archive.extractall(target_place, filter="data")

        both(
            engine,
            [*options, f"{id_}:/root/s/{name}", f"{target_place}{target}"],
            before,
            lambda: local(target_place),
        )


def local(place: Path) -> dict[str, tuple[int, bytes]]:
    """Return what is below a local directory."""
    found = {}
    for directory, names, files in os.walk(place):
        for name in (*names, *files):
            path = f"{directory}/{name}"
            mode = os.lstat(path).st_mode
            data = os.fsencode(os.readlink(path)) if stat.S_ISLNK(mode) else b""
            if stat.S_ISREG(mode):
                data = Path(path).read_bytes()
            found[os.path.relpath(path, place)] = stat.S_IFMT(mode), data
    return found
