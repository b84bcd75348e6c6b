"""What the user mounts: any text is a mount point that is safe, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine import mountpoints
from casemate.engine.model import BindOptions, HostConfig, MountSpec, TmpfsOptions
from casemate.errors import InvalidArgument, Unsupported

paths = st.text(alphabet="/.ab:", max_size=12)


def destinations(host: HostConfig) -> list[str]:
    return [point.destination for point in mountpoints.parse(host)]


@given(paths)
def test_a_destination_is_absolute_and_plain_and_not_the_engines_own(path: str) -> None:
    try:
        (found,) = destinations(HostConfig(tmpfs={path: ""}))
    except InvalidArgument:
        return
    assert found.startswith("/") and not found.startswith("//") and found != "/"
    assert not {"", ".", ".."} & set(found.split("/")[1:])
    assert found not in ("/proc", "/dev")


@given(paths, paths)
def test_two_mounts_at_one_place_are_an_error(first: str, second: str) -> None:
    try:
        found = destinations(HostConfig(tmpfs={first: "", second: ""}))
    except InvalidArgument:
        return
    assert len(set(found)) == len(found)


@given(st.text(max_size=40))
def test_any_text_of_a_bind_is_a_mount_or_an_error(text: str) -> None:
    try:
        points = mountpoints.parse(HostConfig(binds=[text]))
    except (InvalidArgument, Unsupported):
        return
    assert all(p.source.startswith("/") for p in points)


MODES = ("ro", "rw", "idmap", "z", "cached", "rslave", "rshared", "private", "nocopy", "x", "")


@given(st.lists(st.sampled_from(MODES), max_size=4), st.booleans())
def test_what_can_be_written_is_mapped_only_when_that_is_asked(
    words: list[str], mapped: bool
) -> None:
    try:
        (point,) = mountpoints.parse(HostConfig(binds=[f"/a:/b:{','.join(words)}"]))
    except InvalidArgument:
        return
    options = mountpoints.as_mount(point, mapped=mapped).options
    assert ("idmap" in options) == (mapped and ("idmap" in words or "ro" in words))
    assert {"rnosuid", "rnodev"} <= set(options) or not mapped
    assert ("rro" in options) == ("ro" in words) and ("rw" in options) == ("ro" not in words)


@given(st.text(alphabet="nosuidexc=,rw1k", max_size=30))
def test_any_options_of_a_tmpfs_are_taken_apart_or_an_error(text: str) -> None:
    try:
        (point,) = mountpoints.parse(HostConfig(tmpfs={"/t": text}))
    except InvalidArgument:
        return
    names = [option.partition("=")[0] for option in point.options]
    assert len(set(names)) == len(names)
    assert not any({name, f"no{name}"} <= set(names) for name in names)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"nosuid", "nodev", "noexec", "mode=1777"}),
        ("exec,suid", {"nodev", "exec", "suid", "mode=1777"}),
        ("mode=700,size=1m", {"nosuid", "nodev", "noexec", "mode=700", "size=1m"}),
        ("rw,ro", {"nosuid", "nodev", "noexec", "mode=1777", "rw", "ro"}),
    ],
)
def test_options_of_a_tmpfs_replace_the_defaults(text: str, expected: set[str]) -> None:
    (point,) = mountpoints.parse(HostConfig(tmpfs={"/t": text}))
    assert set(point.options) == expected


def test_a_bind_is_read_only_in_depth() -> None:
    (point,) = mountpoints.parse(HostConfig(binds=["/etc:/in:ro,rslave"]))
    assert mountpoints.as_mount(point, mapped=False).options == ("rbind", "rslave", "rro")
    (point,) = mountpoints.parse(HostConfig(binds=["/etc:/in"]))
    assert mountpoints.as_mount(point, mapped=False).options == ("rbind", "rprivate", "rw")


def test_specs_and_binds_mean_the_same() -> None:
    spec = MountSpec("bind", "/etc", "/in", True, bind_options=BindOptions(propagation="rslave"))
    by_spec = mountpoints.parse(HostConfig(mounts=[spec]))[0]
    by_text = mountpoints.parse(HostConfig(binds=["/etc:/in:ro,rslave"]))[0]
    assert mountpoints.as_mount(by_spec, mapped=False) == mountpoints.as_mount(
        by_text, mapped=False
    )


@pytest.mark.parametrize(
    "options",
    [TmpfsOptions(mode=0o10000), TmpfsOptions(size_bytes=-1), TmpfsOptions(options=[["bogus"]])],
)
def test_options_of_a_spec_are_checked(options: TmpfsOptions) -> None:
    with pytest.raises(InvalidArgument):
        mountpoints.parse(HostConfig(mounts=[MountSpec("tmpfs", "", "/t", tmpfs_options=options)]))


def test_what_a_virtual_proc_replaces_may_be_replaced() -> None:
    assert destinations(HostConfig(binds=["/etc/passwd:/proc/meminfo"])) == ["/proc/meminfo"]
    for path in ("/proc/sys", "/proc/1", "/proc/meminfo/x", "/proc/self/attr"):
        with pytest.raises(InvalidArgument, match="needs its own"):
            destinations(HostConfig(binds=[f"/etc:{path}"]))


def test_shared_binds_are_few() -> None:
    binds = [f"/etc:/in{n}:rshared" for n in range(17)]
    with pytest.raises(InvalidArgument, match="more than 16"):
        mountpoints.parse(HostConfig(binds=binds))
    assert len(mountpoints.parse(HostConfig(binds=binds[:16]))) == 16
