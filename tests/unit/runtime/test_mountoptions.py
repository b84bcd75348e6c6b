"""Mount options, taken apart."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.runtime import mountoptions
from casemate.runtime.mountoptions import MountOptions, parse

RO, NOSUID, NODEV, NOEXEC, NOATIME, STRICT, NODIR = 1, 2, 4, 8, 0x10, 0x20, 0x80
ATIME = 0x70
PRIVATE, SLAVE, SHARED, UNBINDABLE = 1 << 18, 1 << 19, 1 << 20, 1 << 17


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", MountOptions()),
        ("defaults", MountOptions()),
        ("ro", MountOptions(set=RO)),
        ("rw", MountOptions(clear=RO)),
        ("ro,rw", MountOptions(clear=RO)),
        ("rw,ro", MountOptions(set=RO)),
        ("nosuid,nodev,noexec", MountOptions(set=NOSUID | NODEV | NOEXEC)),
        ("suid,dev,exec", MountOptions(clear=NOSUID | NODEV | NOEXEC)),
        ("nosymfollow", MountOptions(set=0x200000)),
        ("noatime", MountOptions(set=NOATIME, clear=ATIME)),
        ("strictatime", MountOptions(set=STRICT, clear=ATIME)),
        ("noatime,strictatime", MountOptions(set=STRICT, clear=ATIME)),
        ("noatime,relatime", MountOptions(clear=ATIME)),
        ("nodiratime", MountOptions(set=NODIR)),
        ("bind", MountOptions(bind=True)),
        ("rbind", MountOptions(bind=True, recursive_bind=True)),
        ("rbind,rprivate", MountOptions(0, 0, 0, 0, PRIVATE, True, True, True)),
        ("slave", MountOptions(propagation=SLAVE)),
        ("rslave,shared", MountOptions(propagation=SHARED)),
        ("runbindable", MountOptions(propagation=UNBINDABLE, propagation_recursive=True)),
        ("rro", MountOptions(recursive_set=RO)),
        ("rro,rrw", MountOptions(recursive_clear=RO)),
        ("rrw,rro", MountOptions(recursive_set=RO)),
        ("rnosuid,rexec", MountOptions(recursive_set=NOSUID, recursive_clear=NOEXEC)),
        ("size=1m,mode=755", MountOptions(data=("size=1m", "mode=755"))),
        ("ro,size=50%", MountOptions(set=RO, data=("size=50%",))),
    ],
)
def test_options_mean_what_mount_says(options: str, expected: MountOptions) -> None:
    assert parse(tuple(filter(None, options.split(","))), "/x") == expected


@pytest.mark.parametrize(
    "options", [("bind", "bogus"), ("rbind", "size=1"), ("remount",), ("move",), ("",)]
)
def test_what_is_unknown_is_refused_by_name(options: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match="cannot mount /x: unknown mount option"):
        parse(options, "/x")


KNOWN = st.sampled_from(
    [
        *mountoptions._SET,
        *mountoptions._CLEAR,
        *mountoptions._ATIMES,
        *mountoptions._PROPAGATION,
        *("bind", "rbind", "rro", "rrw", "rnoexec", "rshared", "rprivate", "defaults"),
    ]
)


@given(st.lists(KNOWN, max_size=12))
def test_nothing_is_set_and_cleared_at_once(options: list[str]) -> None:
    parsed = parse(tuple(options), "/x")
    assert parsed.set & parsed.clear & ~ATIME == 0
    assert parsed.recursive_set & parsed.recursive_clear == 0
    assert parsed.set & ATIME in (0, NOATIME, STRICT)
    assert not parsed.data


@given(st.lists(KNOWN, max_size=8), st.lists(KNOWN, max_size=8))
def test_the_last_word_counts(before: list[str], after: list[str]) -> None:
    late, whole = parse(tuple(after), "/x"), parse((*before, *after), "/x")
    assert whole.set & late.set == late.set
    assert whole.clear & late.clear == late.clear
    if late.propagation:
        assert (whole.propagation, whole.propagation_recursive) == (
            late.propagation,
            late.propagation_recursive,
        )


@given(st.lists(st.text(max_size=12), max_size=6))
def test_anything_is_taken_apart_or_refused(options: list[str]) -> None:
    with contextlib.suppress(InvalidArgument):
        parsed = parse(tuple(options), "/x")
        assert set(parsed.data) <= set(options)
