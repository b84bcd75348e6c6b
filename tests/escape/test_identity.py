"""Who a container's processes are, whatever the image's files say."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from casemate.errors import Error, InvalidArgument
from escape.conftest import Load
from support.engine import RunningEngine, busybox_tar
from support.engines import Start
from support.hostile import Sentinel
from support.images import Entry, docker_archive, member, tar

pytestmark = pytest.mark.root

WHO = "id -u; id -g; grep -E '^(Groups|CapInh|CapEff)' /proc/self/status"


def text(name: str, content: str) -> Entry:
    return member(name, tarfile.REGTYPE, mode=0o644), content.encode()


def test_cve_2016_3697_a_number_is_a_number(engine: RunningEngine, load: Load) -> None:
    image = load(tar({}, text("etc/passwd", "1000:x:0:0::/:/bin/sh\n0x0:x:0:0::/:/bin/sh\n")))
    for user in ("1000", "01000", "1000:1000"):
        said = engine.says(image, "sh", "-c", WHO, User=user).split()
        assert said[0] == "1000" and said[-1].strip("0") == ""


@pytest.mark.parametrize(
    "user",
    [
        *("2147483648", "4294967295", "4294967296", "-1", "0x0", "1000:4294967296", "1000:-1"),
        *("１０００", "18446744073709551616", "1e3", " 0", "0 ", "0\n", "root:root:root"),
        *("nobody-there", "1000:nobody-there", "../0", "0\0"),
    ],
)
def test_cve_2024_40635_users_out_of_range_are_refused(
    engine: RunningEngine, load: Load, user: str
) -> None:
    """By the caller, by an exec, or by the image: never is one taken for root."""

    def refused(because: str) -> bool:
        return any(one in because or repr(one)[1:9] in because for one in (user, *user.split(":")))

    for attempt in (
        lambda: engine.create("busybox", "id", "-u", User=user),
        lambda: engine.create(load(User=user), "id", "-u"),
    ):
        with pytest.raises(Error) as caught:
            engine.start_container(attempt())
        assert refused(str(caught.value))
    running = engine.run_container("busybox", "sleep", "1000")
    try:
        # Its streams are open by the time a user is looked for: there it is said.
        done = engine.exec(running, "sh", "-c", "echo executed", User=user)
    except Error as error:
        assert refused(str(error))
    else:
        assert done.code != 0 and refused((done.out + done.err).decode())
        assert b"executed" not in done.out


@pytest.mark.slow
def test_cve_2026_47262_a_huge_group_file_is_bounded(start_engine: Start) -> None:
    """Lines without end, and one line without end."""
    engine = start_engine()
    engine.import_image(busybox_tar(), "busybox")
    before = engine.resident_kib()
    for content in (b"g:x:1:root,bob\n" * (4 << 20), b"g:x:1:" + b"bob," * (16 << 20)):
        layers = {"0.tar": busybox_tar(), "1.tar": tar({"etc/group": content})}
        engine.load(tar(docker_archive(layers, "huge:1")))
        for user in ("bob", "1000:g", "0"):
            try:
                engine.says("huge:1", "true", User=user)
            except InvalidArgument as error:
                assert "/etc/group" in str(error)
    assert engine.resident_kib() - before < 64 << 10


@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize(
    "entries",
    [
        [member("etc/{}", tarfile.FIFOTYPE)],
        [member("etc/{}", tarfile.CHRTYPE, devmajor=1, devminor=5)],
        [member("etc/{}", tarfile.DIRTYPE)],
        [member("etc/{}", tarfile.SYMTYPE, linkname="/pipe"), member("pipe", tarfile.FIFOTYPE)],
        [member("etc/{}", tarfile.SYMTYPE, linkname="{}")],
        [member("etc/{}", tarfile.SYMTYPE, linkname="/proc/self/fd/0")],
        [member("etc/{}", tarfile.SYMTYPE, linkname="/dev/zero")],
    ],
    ids=["fifo", "device", "directory", "link-to-fifo", "loop", "descriptor", "link-to-zero"],
)
def test_cve_2024_9676_what_is_no_file_hangs_nobody(
    engine: RunningEngine, load: Load, name: str, entries: Iterable[tarfile.TarInfo]
) -> None:
    made = []
    for entry in entries:
        entry = member(entry.name.format(name), entry.type, **_fields(entry))
        entry.linkname = entry.linkname.format(name)
        made.append(entry)
    image = load(tar({}, *made))
    for user in ("bob", "1000:bob", "1000:1000"):
        try:
            said = engine.says(image, "grep", "^Uid", "/proc/self/status", User=user)
        except InvalidArgument as error:
            assert f"/etc/{name}" in str(error) or "bob" in str(error)
        else:
            assert said.split()[1:] == ["1000"] * 4


def _fields(entry: tarfile.TarInfo) -> dict[str, object]:
    return {n: getattr(entry, n) for n in ("linkname", "devmajor", "devminor")}


def test_cve_2021_21284_a_link_in_place_of_passwd_reads_nothing_of_the_host(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    Path(sentinel.file).write_text("evil:x:0:0::/:/bin/sh\n")
    try:
        for link in (sentinel.file, f"../../../../../..{sentinel.file}"):
            image = load(tar({"etc/passwd": link}))
            with pytest.raises(InvalidArgument, match="evil"):
                engine.says(image, "id", "-u", User="evil")
    finally:
        Path(sentinel.file).write_text("kept\n")


@pytest.mark.parametrize("user", ["", "0", "bob", "1000:2000"])
def test_cve_2022_24769_nobody_inherits_capabilities(
    engine: RunningEngine, load: Load, user: str
) -> None:
    id_ = engine.run_container(
        load(), "sh", "-c", f"{WHO}; sleep 1000", User=user, CapAdd=["NET_RAW"]
    )
    first = engine.exec(id_, "grep", "CapInh", "/proc/1/status").out
    for said in (
        first,
        engine.exec(id_, "grep", "CapInh", "/proc/self/status").out,
        engine.exec(id_, "grep", "CapInh", "/proc/self/status", Privileged=True).out,
        engine.exec(id_, "grep", "CapInh", "/proc/self/status", User="0").out,
    ):
        assert said == b"CapInh:\t0000000000000000\n"


@pytest.mark.parametrize(
    ("user", "groups"),
    [("", {0}), ("0:5", {5}), ("bob", {1000, 2000}), ("1000:7", {7}), ("bob:extra", {2000})],
)
def test_cve_2022_36109_the_primary_group_is_a_supplementary_one(
    engine: RunningEngine, load: Load, user: str, groups: set[int]
) -> None:
    image = load()
    said = engine.says(image, "sh", "-c", "grep ^Groups /proc/self/status", User=user)
    assert {int(g) for g in said.split()[1:]} == groups
    running = engine.run_container("busybox", "sleep", "1000")
    said = engine.exec(running, "grep", "^Groups", "/proc/self/status", User=user).out.decode()
    assert {int(g) for g in said.split()[1:]} == groups
    extra = engine.says(image, "sh", "-c", "grep ^Groups /proc/self/status", User=user,
                        GroupAdd=["77"])  # fmt: skip
    assert {int(g) for g in extra.split()[1:]} == {*groups, 77}


def test_cve_2014_3499_what_the_engine_makes_is_its_own_whatever_the_mask(
    start_engine: Start,
) -> None:
    engine = start_engine(prefix=["sh", "-c", 'umask 0; exec "$0" "$@"'])
    engine.import_image(busybox_tar(), "busybox")
    engine.run_container("busybox", "sh", "-c", "touch /made; mkdir /too; sleep 1000")
    for top in (engine.root, engine.run):
        for path in _reached_by_others(top):
            assert os.lstat(path).st_mode & 0o022 == 0, path
    assert stat.S_IMODE(os.stat(engine.root).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{engine.run}/layers").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(engine.socket).st_mode) == 0o600


def _reached_by_others(top: str) -> Iterable[str]:
    yield top
    for directory, names, files in os.walk(top):
        if os.stat(directory).st_mode & 0o001:
            yield from (f"{directory}/{name}" for name in (*names, *files))
        else:
            names.clear()


def test_cve_2020_14370_environments_do_not_mix(engine: RunningEngine, load: Load) -> None:
    secret = "SECRET=of-the-first"
    first = engine.run_container(load(), "sleep", "1000", Env=[secret])
    engine.exec(first, "true", Env=["OTHER=of-the-exec"])
    second = engine.run_container(load(), "sleep", "1000")
    look = ("sh", "-c", "env; cat /proc/*/environ")
    for id_ in (second, first):
        said = engine.exec(id_, *look).out
        assert (b"of-the-first" in said) == (id_ == first)
        assert b"of-the-exec" not in said
    host = {k for k in os.environ if k not in ("PATH", "HOME", "HOSTNAME", "TERM", "PWD", "SHLVL")}
    said_names = {line.partition("=")[0] for line in engine.says("busybox", "env").splitlines()}
    assert not said_names & host
    assert secret not in json.dumps(engine.inspect(second))
