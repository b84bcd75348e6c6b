"""ACLs of archives, in words, become what the kernel keeps; what is none is refused."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.layer import acl
from casemate.layer.pax import BadRecord
from casemate.layer.stream import Stream
from casemate.layer.tar import Reader

BASE = b"user::rw-,group::r--,mask::rwx,other::r--"
NAMES = ("system.posix_acl_access", "system.posix_acl_default")


def entry(tag: int, permissions: int, id_: int = 0xFFFFFFFF) -> bytes:
    return b"".join(n.to_bytes(s, "little") for n, s in ((tag, 2), (permissions, 2), (id_, 4)))


def test_entries_come_in_the_kernels_order() -> None:
    text = b"other::r-x,mask::rwx\nuser:7:rwx,user:3:-w-,group::r--,group:9:--x,user::rw-\n"
    assert acl.attribute(text) == b"\2\0\0\0" + b"".join(
        (
            entry(1, 6), entry(2, 2, 3), entry(2, 7, 7), entry(4, 4), entry(8, 1, 9),
            entry(0x10, 7), entry(0x20, 5),
        )
    )  # fmt: skip


def test_star_says_the_number_behind() -> None:
    assert acl.attribute(BASE + b",user:lisa:r-x:502") == acl.attribute(BASE + b",user:502:r-x")


def test_names_without_numbers_and_what_the_mode_says_are_left_out() -> None:
    assert acl.attribute(BASE + b",user:lisa:r-x") is None
    assert acl.attribute(b"user::rw-,group::r--,other::r--") is None


@pytest.mark.parametrize(
    "text",
    [
        b"", b"user", b"user::rwz,group::r--,other::r--", b"user::rwx", BASE + b",user::rwx",
        BASE + b",user:7:rwx,user:7:r--", BASE + b",mask:7:rwx", BASE + b",user:4294967295:r--",
        b"user::rw-,group::r--,other::r--,user:7:r--", BASE + b",root:0:rwx", b"\0",
    ],
)  # fmt: skip
def test_what_is_no_acl_is_refused(text: bytes) -> None:
    with pytest.raises(BadRecord, match="ACL"):
        acl.attribute(text)


@given(st.text(alphabet="userogpmaskth:,\n-rwx 0123456789", max_size=60))
def test_any_text_is_an_acl_or_refused(text: str) -> None:
    try:
        value = acl.attribute(text.encode())
    except BadRecord:
        return
    assert value is None or (len(value) % 8 == 4 and len(value) >= 4 + 4 * 8)


def test_what_gnu_tar_writes_is_what_the_file_had(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    head = b"\2\0\0\0"
    value = head + b"".join(
        (entry(1, 7), entry(2, 5, 1234), entry(4, 5), entry(8, 4, 4321), entry(16, 7), entry(32, 0))
    )
    try:
        for name in NAMES:
            os.setxattr(made, name, value)
    except OSError:
        pytest.skip("needs a file system with ACLs")
    words = ["tar", "--acls", "--numeric-owner", "--format=posix", "-C", str(tmp_path), "-cf", "-"]
    done = subprocess.run([*words, "made"], capture_output=True, check=True)
    found = {item.name.rstrip(b"/"): item for item in Reader(Stream([done.stdout]), "tar")}
    xattrs = found[b"made"].xattrs
    if xattrs is None:
        pytest.skip("needs a tar that knows ACLs")
    assert xattrs == {name.encode(): os.getxattr(made, name) for name in NAMES}


def test_an_attribute_wins_over_words() -> None:
    info = tarfile.TarInfo("f")
    kept = "\2\0\0\0" + "x" * 32
    info.pax_headers = {
        "SCHILY.acl.access": BASE.decode() + ",user:1:r--",
        "SCHILY.xattr.system.posix_acl_access": kept,
    }
    data = info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    (found,) = Reader(Stream([data]), "tar")
    assert found.xattrs == {b"system.posix_acl_access": kept.encode()}
