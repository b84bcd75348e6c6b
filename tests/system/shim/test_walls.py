"""What a workload gets, and what it must not get, from those who made its room."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from casemate.linux import capabilities
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import Step, step
from casemate.supervise.shim import StepFailed
from support.shims import ENV, OUTPUT, Lab, Task, asynchronous, rooted, within

pytestmark = pytest.mark.root

PROBE = Path(__file__).parents[2] / "support" / "probe.c"
F_GET_SEALS = 1034  # linux/fcntl.h


@pytest.fixture(scope="session")
def compiled_probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The probe as a static program."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler: apt install gcc")
    target = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run([compiler, "-static", "-O1", "-o", str(target), str(PROBE)], check=True)
    return target


@pytest.fixture
def probe(lab: Lab, compiled_probe: Path) -> Lab:
    """A lab in whose root /bin/probe is."""
    shutil.copy(compiled_probe, lab.root / "bin" / "probe")
    return lab


async def found(task: Task) -> Any:
    """Return what the probe says of itself as an exec."""
    number, client = await task.talk("probe", flags=OUTPUT)
    out, _ = await within(client.rest())
    await task.exit(number)
    return json.loads(out)


async def probed(lab: Lab, *before: Step, init: bool = False, tty: bool = False) -> Any:
    """Return what the probe says of itself as a first process."""
    task = await lab.room()
    client = await task.attach(OUTPUT)
    await task.start("probe", stdio=Stdio(tty=tty), before=before, init=init)
    out, _ = await within(client.rest())
    return json.loads(out)


def test_the_first_process_inherits_nothing(probe: Lab) -> None:
    @asynchronous
    async def run(lab: Lab) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (900, hard))
        try:
            said = await probed(lab, step("umask", 0o027))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert said["descriptors"] == [0, 1, 2]
        assert (said["handled"], said["blocked"]) == ([], [])
        assert said["pid"] == said["session"] == said["group"] == 1
        assert said["umask"] == 0o027
        assert said["files"] == [900, hard]
        assert (said["death_signal"], said["dumpable"]) == (9, 1)

    run(lab=probe)


@pytest.mark.parametrize("nursery", [False, True])
def test_an_exec_inherits_nothing(probe: Lab, nursery: bool) -> None:
    @asynchronous
    async def run(lab: Lab) -> None:
        task = await lab.run("sleep", "1000")
        await task.attach(OUTPUT)
        if nursery:
            await task.shim.nursery(Plan(()).whole_file())
        said = await found(task)
        assert said["descriptors"] == [0, 1, 2]
        assert (said["handled"], said["blocked"]) == ([], [])
        assert said["pid"] == said["session"] == said["group"]
        assert said["files"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))
        assert (said["death_signal"], said["dumpable"]) == (9, 1)

    run(lab=probe)


def test_every_process_has_a_session_keyring_of_its_own(probe: Lab) -> None:
    @asynchronous
    async def run(lab: Lab) -> None:
        first = await probed(lab, step("keyring"))
        second = await probed(lab, step("keyring"))
        inherited = await probed(lab)
        assert len({first["keyring"], second["keyring"], inherited["keyring"]}) == 3

    run(lab=probe)


def test_behind_init_the_workload_is_in_a_group_of_its_own(probe: Lab) -> None:
    @asynchronous
    async def run(lab: Lab) -> None:
        for tty in (False, True):
            said = await probed(lab, init=True, tty=tty)
            assert said["descriptors"] == [0, 1, 2]
            assert (said["handled"], said["blocked"]) == ([], [])
            assert (said["ppid"], said["session"]) == (1, 1)
            assert said["pid"] == said["group"] != 1
            assert said["foreground"] == (said["pid"] if tty else -1)

    run(lab=probe)


@asynchronous
async def test_the_shim_runs_from_a_sealed_copy(lab: Lab) -> None:
    task = await lab.run("sleep", "1000", init=True)
    await task.shim.nursery(Plan(()).whole_file())
    for pid in (task.shim.pid, task.shim.room_pid):
        exe = f"/proc/{pid}/exe"
        assert os.readlink(exe).startswith("/memfd:casemate-shim")
        with open(exe, "rb") as file:
            seals = fcntl.fcntl(file, F_GET_SEALS)
            assert seals & 0xF == 0xF  # seal, shrink, grow, write
        with pytest.raises(OSError) as caught:
            os.open(exe, os.O_RDWR)
        assert caught.value.errno in (errno.ETXTBSY, errno.EPERM, errno.EACCES)


@asynchronous
async def test_entering_processes_cannot_be_looked_into(lab: Lab) -> None:
    """CVE-2016-9962: who is in the container tries to see descriptors of those who join."""
    bounded = capabilities.mask(("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID"))
    spy = (
        "echo ready; while [ ! -e /tmp/stop ]; do for p in /proc/[0-9]*; do"
        " ls -l $p/fd/ $p/task/*/fd/ 2>/dev/null; ls -l $p/exe 2>/dev/null; done; done"
    )
    task = await lab.room()
    client = await task.attach(OUTPUT)
    drop = [step("bounding", bounded), step("capabilities", bounded, bounded, 0, 0)]
    await task.start("sh", "-c", spy, stdio=Stdio(log=False), before=drop)
    await client.until(b"ready")
    await task.shim.nursery(Plan(()).whole_file())
    for _ in range(200):
        number = await task.execute("true")
        await task.exit(number)
    (lab.root / "tmp" / "stop").touch()
    out, _ = await within(client.rest())
    links = [line.split(" -> ") for line in out.decode().splitlines() if " -> " in line]
    seen = {link[1].split(":")[0] for link in links}
    assert "/bin/busybox" in seen
    assert not {to for to in seen if to not in ("/bin/busybox", "/dev/null", "pipe")}


@asynchronous
async def test_a_working_directory_outside_is_refused(lab: Lab) -> None:
    """CVE-2024-21626: a directory that is reached through a descriptor."""
    refused = 0
    for number in range(3, 30):
        task = await lab.room()
        client = await task.attach(OUTPUT)
        where = f"/proc/self/fd/{number}"
        steps = (
            *rooted(lab.root, lab.mount_place),
            step("open", "leak", "/etc", os.O_DIRECTORY),
            step("pivot", "root"),
            step("chdir", where),
            step("exec", ("readlink", "/proc/self/cwd"), ENV),
        )
        try:
            await task.start_plan(Plan(steps))
        except StepFailed as failure:
            assert failure.about == where
            assert failure.code in (errno.ENOENT, errno.EXDEV, errno.ENOTDIR)
            refused += failure.code == errno.EXDEV
        else:  # one of the room's own: its /proc, its /dev
            out, _ = await within(client.rest())
            assert out in (b"/\n", b"/proc\n", b"/dev\n", b"/dev/pts\n")
    assert refused


def target(lab: Lab, path: str, kind: int = 0) -> tuple[Step, ...]:
    """Return the steps that make the place of a mount and mount a file system there."""
    return (
        *rooted(lab.root, lab.mount_place),
        step("fsopen", "fs", "tmpfs"),
        step("fsmount", "new", "fs", 0),
        step("target", "place", "root", path, kind, 0o755),
        *((step("move_mount", "new", "place"),) if kind != 1 else ()),
        step("pivot", "root"),
        step("exec", ("stat", "-f", "-c", "%T", path) if kind != 1 else ("cat", path), ENV),
    )


@pytest.mark.parametrize(
    ("links", "path"),
    [
        ({}, "/a/b/c"),
        ({"a": "/x/y"}, "/a/b"),
        ({"a": "../../../x"}, "/a/b"),
        ({"a": "x/y/z"}, "/a"),
        ({"a": "/b", "b": "c", "c": "/d/e"}, "/a/f"),
        ({"a": "tmp/../b"}, "/a//c/"),
    ],
)
@asynchronous
async def test_links_to_nothing_are_followed_inside_the_root(
    lab: Lab, links: dict[str, str], path: str
) -> None:
    for name, to in links.items():
        (lab.root / name).symlink_to(to)
    before = sorted(os.listdir("/"))
    task = await lab.room()
    client = await task.attach(OUTPUT)
    await task.start_plan(Plan(target(lab, path)))
    assert (await within(client.rest()))[0] == b"tmpfs\n"
    assert sorted(os.listdir("/")) == before


@asynchronous
async def test_a_file_is_made_where_a_link_to_nothing_leads(lab: Lab) -> None:
    (lab.root / "etc" / "resolv.conf").symlink_to("../run/systemd/resolve/stub.conf")
    task = await lab.room()
    await task.start_plan(Plan(target(lab, "/etc/resolv.conf", 1)))
    assert (await task.exit()).code == 0
    assert (lab.root / "run" / "systemd" / "resolve" / "stub.conf").is_file()


@pytest.mark.parametrize(
    ("links", "path", "kind", "code"),
    [
        ({"a": "b", "b": "a"}, "/a/x", 0, errno.ELOOP),
        ({"a": "a/x"}, "/a", 0, errno.ELOOP),
        ({"a": "/" + "x/" * 2000}, "/a/" + "y/" * 1000, 0, errno.ENAMETOOLONG),
        ({}, "/bin/busybox/x", 0, errno.ENOTDIR),
        ({"a": "/proc/self/fd/3"}, "/a", 0, errno.ELOOP),
        ({"a": "/proc"}, "/a", 0, errno.EXDEV),
        ({"a": "/proc/sys"}, "/a/kernel", 0, errno.EXDEV),
        ({"a": "/proc/self/attr"}, "/a", 0, errno.EXDEV),
        ({"a": "/tmp"}, "/a", 2, errno.ENOTDIR),
    ],
)
@asynchronous
async def test_places_that_are_none_are_refused(
    lab: Lab, links: dict[str, str], path: str, kind: int, code: int
) -> None:
    for name, to in links.items():
        (lab.root / name).symlink_to(to)
    task = await lab.room()
    with pytest.raises(StepFailed) as caught:
        await task.start_plan(Plan(target(lab, path, kind)))
    assert caught.value.code == code


@asynchronous
async def test_a_filter_that_would_be_cut_off_is_refused(lab: Lab) -> None:
    for program in (b"\x06" + bytes(8), bytes(8) * 4097, bytes(8) * 65537):
        with pytest.raises(StepFailed) as caught:
            await lab.run("true", before=[step("no_new_privs"), step("seccomp", 0, program)])
        assert caught.value.code == errno.EINVAL


@asynchronous
async def test_many_groups_are_refused_not_cut_off(lab: Lab) -> None:
    for data in (bytes(4 * 1025), b"xxx"):
        with pytest.raises(StepFailed) as caught:
            await lab.run("true", before=[step("groups", data)])
        assert (caught.value.about, caught.value.code) == ("groups", errno.EINVAL)


@asynchronous
async def test_oom_score_adj_is_set(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach(OUTPUT)
    score = step("oom_score_adj", "321")
    await task.start("cat", "/proc/self/oom_score_adj", stdio=Stdio(), before=[score])
    assert (await within(client.rest()))[0] == b"321\n"
    with pytest.raises(StepFailed) as caught:
        await lab.run("true", before=[step("oom_score_adj", "9999")])
    assert caught.value.about == "oom_score_adj"
