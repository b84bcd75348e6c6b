"""Preparing the root of a container: links, places of mounts, masks, environments of helpers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casemate.errors import Error
from casemate.walls.masks import MASKED, READONLY
from escape.conftest import Load
from support.engine import RunningEngine
from support.hostile import Sentinel
from support.images import tar
from support.streams import Streams, start_exec

pytestmark = pytest.mark.root

#: Ways to name a directory of the host from a directory in the container's root.
LINKS = ("{}", "../../../../../../../..{}", "./../..{}")


def run_or_refuse(engine: RunningEngine, image: str, *command: str, **host: object) -> str | None:
    """Return what a command says, or None if the container is refused."""
    try:
        id_ = engine.run_container(image, *command, **host)
    except Error:
        return None
    engine.wait(id_)
    out, err = engine.output(id_)
    return (out + err).decode()


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("place", ["proc", "sys", "dev"])
def test_cve_2019_19921_2026_41579_a_place_of_a_mount_that_is_a_link(
    engine: RunningEngine, load: Load, sentinel: Sentinel, place: str, link: str
) -> None:
    image = load(tar({place: link.format(sentinel.path)}))
    types = {"proc": "proc", "sys": "sysfs", "dev": "tmpfs"}
    said = run_or_refuse(engine, image, "sh", "-c", f"stat -f -c %T /{place}; ls -ld /{place}")
    # Either it does not start, or what is there is what belongs there, on a real directory.
    assert said is None or (said.split()[0] == types[place] and " d" in " " + said.split()[1])


@pytest.mark.parametrize("volume", ["/proc", "/proc/self", "/sys/kernel", "/dev", "/dev/pts"])
def test_cve_2019_16884_a_volume_over_a_kernels_file_system(
    engine: RunningEngine, load: Load, volume: str, sentinel: Sentinel
) -> None:
    script = "stat -f -c %T /proc /proc/self /dev /sys /sys/kernel; : >> /proc/sys/vm/swappiness"
    said = run_or_refuse(engine, load(Volumes={volume: {}}), "sh", "-c", script)
    if said is not None:
        assert said.split()[:5] == ["proc", "proc", "tmpfs", "sysfs", "sysfs"]
        assert "Read-only file system" in said
    for host in (
        {"Binds": [f"{sentinel.path}:{volume}"]},
        {"Mounts": [{"Type": "tmpfs", "Target": volume}]},
    ):
        if volume.startswith("/proc"):
            with pytest.raises(Error):
                engine.start_container(engine.create("busybox", "true", **host))


@pytest.mark.parametrize("link", LINKS)
def test_cve_2022_23648_a_volume_through_a_link(
    engine: RunningEngine, load: Load, sentinel: Sentinel, link: str
) -> None:
    volumes = ("/link", "/link/made", "/../../link/x", f"/../../..{sentinel.path}/y", "/link/deep")
    image = load(tar({"link": link.format(sentinel.path)}), Volumes={v: {} for v in volumes})
    said = run_or_refuse(engine, image, "cat", sentinel.file)
    assert said is None or "No such file" in said


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("where", ["/link", "/link/made/deep", "/link/../made"])
def test_cve_2026_55686_a_working_directory_through_a_link(
    engine: RunningEngine, load: Load, sentinel: Sentinel, where: str, link: str
) -> None:
    image = load(tar({"link": link.format(sentinel.path)}), WorkingDir=where)
    said = run_or_refuse(engine, image, "sh", "-c", "pwd -P; ls -a; touch here")
    assert said is None or "kept" not in said
    said = run_or_refuse(engine, image, "pwd", User="1000")
    assert said is None or said.startswith("/")


def test_cve_2024_9341_files_that_the_engine_mounts_through_links(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    """The engine's own files are hosts, hostname and resolv.conf."""
    for link in LINKS:
        to = link.format(sentinel.path)
        linked = {f"etc/{n}": f"{to}/kept" for n in ("hosts", "hostname", "resolv.conf", "mtab")}
        for files in (linked, {"etc": to}):
            image = load(tar(files))
            said = run_or_refuse(engine, image, "cat", "/etc/hostname", sentinel.file)
            assert said is None or "kept\n" not in said


def test_cve_2025_31133_masks_do_not_depend_on_the_images_null(
    engine: RunningEngine, load: Load
) -> None:
    sysctl = Path("/proc/sys/kernel/core_pattern")
    before = sysctl.read_bytes()
    image = load(tar({"dev/": b"", "dev/null": str(sysctl), "dev/zero": "/proc/sysrq-trigger"}))
    script = (
        "stat -c '%t:%T %F' /dev/null; echo x > /dev/null; cat /dev/null;"
        f" for i in {' '.join(closed.path for closed in MASKED)}; do"
        " if [ -d $i ]; then ls -A $i; elif [ -e $i ]; then cat $i; fi; done; echo end"
    )
    said = engine.says(image, "sh", "-c", script)
    assert said == "1:3 character special file\nend\n"
    assert sysctl.read_bytes() == before


def test_cve_2025_52565_the_console_is_of_the_containers_own_terminals(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    links = {"dev/console": sentinel.file, "dev/pts": sentinel.path, "dev/ptmx": sentinel.file}
    image = load(tar({"dev/": b"", **links}))
    script = "stat -c '%t:%T %F' /dev/console; ls /dev/pts; echo y > /dev/console; tty"
    id_ = engine.run_container(image, "sh", "-c", script, Tty=True)
    assert engine.wait(id_) == 0
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1") as reply:
        said = reply.read().decode().split()
    assert said[:4] == ["88:0", "character", "special", "file"]
    assert said[-2:] == ["y", "/dev/pts/0"]


def test_cve_2018_10892_every_path_of_the_table_is_closed(
    engine: RunningEngine, load: Load
) -> None:
    hidden = (
        *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
        *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
        *("/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
    )
    fixed = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/sys")
    fixed = (*fixed, "/sys/fs/cgroup")
    assert {*hidden} <= {it.path for it in MASKED}
    assert {*fixed[:5]} <= {it.path for it in READONLY}
    script = (
        f"for i in {' '.join(hidden)}; do [ -d $i ] && ls -A $i; [ -f $i ] && cat $i; done;"
        f" for i in {' '.join(fixed)}; do for f in $(find $i -type f -maxdepth 3 | head -40); do"
        " (: >> $f) 2>/dev/null && echo open $f; done; done; echo end"
    )
    assert engine.says(load(), "sh", "-c", script) == "end\n"


def test_cve_2025_23266_nothing_of_an_images_environment_reaches_a_helper(
    engine: RunningEngine, load: Load
) -> None:
    names = ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PATH")
    image = load(Env=[f"{name}=/bin:/evil" for name in names])
    id_ = engine.run_container(image, "/bin/sleep", "1000", Init=True)
    room = engine.inspect(id_)["State"]["Pid"]
    assert Path(f"/proc/{engine.supervisor(id_)}/environ").read_bytes() == b""
    assert b"LD_PRELOAD" not in Path(f"/proc/{room}/environ").read_bytes()
    assert engine.exec(id_, "env").out.count(b"=/bin:/evil\n") == len(names)
    assert engine.process
    assert b"/evil" not in Path(f"/proc/{engine.process.pid}/environ").read_bytes()


def test_cve_2015_3629_links_that_are_planted_before_a_restart(
    engine: RunningEngine, load: Load, sentinel: Sentinel, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    plant = f"mv /a /b; ln -s {sentinel.path} /a; rm -rf /place; ln -s {sentinel.path}/deep /place"
    id_ = engine.run_container(
        load(), "sh", "-c", f"{plant}; echo x > /a/planted; echo x > /place/planted",
        Binds=[f"{shared}:/a/here", f"{shared}:/deep/place"], WorkingDir="/place/sub",
    )  # fmt: skip
    for _ in range(2):
        engine.wait(id_)
        with contextlib.suppress(Error):
            engine.start_container(id_)
    engine.wait(id_)


# ---- races: another container exchanges names in a volume that both have ----


@pytest.fixture
def swapping(
    engine: RunningEngine, load: Load, sentinel: Sentinel, tmp_path: Path
) -> Iterator[Path]:
    """A directory in which "a" is now a directory, now a link to the sentinel."""
    shared = tmp_path / "shared"
    (shared / "a/deep").mkdir(parents=True)
    (shared / "b").symlink_to(sentinel.path)
    id_ = engine.run_container(load(), "sleep", "1000", Binds=[f"{shared}:/v"])
    racer: Streams = start_exec(
        engine.client, engine.create_exec(id_, "intruder", "swap", "/v/a", "/v/b")
    )
    racer.until(b"swapping\n")
    yield shared
    engine.exec(id_, "touch", "/stop")
    racer.rest()


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["{other}:/v/a/deep"]},
        {"Binds": ["{other}:/v/a/made/deeper"]},
        {"Binds": ["{file}:/v/a/file"]},
        {"Tmpfs": {"/v/a/deep": ""}},
        {"WorkingDir": "/v/a/sub/dir"},
        {"MaskedPaths": ["/v/a/deep", "/v/a/kept"], "ReadonlyPaths": ["/v/a"]},
    ],
    ids=lambda host: next(iter(host)),
)
def test_cve_2021_30465_2024_45310_2025_52881_names_exchanged_meanwhile(
    engine: RunningEngine, swapping: Path, tmp_path: Path, host: dict[str, Any]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "file").touch()
    binds = [b.format(other=other, file=tmp_path / "file") for b in host.get("Binds", [])]
    options = {**host, "Binds": [f"{swapping}:/v", *binds]}
    for _ in range(12):
        said = run_or_refuse(engine, "busybox", "cat", "/v/a/kept", **options)
        assert said is None or "kept\n" not in said
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir(other) == []
