"""What is below a directory of an archive, as an archive of its own."""

from __future__ import annotations

import io
import lzma
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import DataLoss, Error, InvalidArgument
from casemate.layer.stream import Stream
from casemate.layer.subtree import below
from casemate.layer.tar import Entry, Reader
from support.images import member, tar

FILES = {
    "metadata.yaml": b"architecture: x86_64\n",
    "rootfs/": b"",
    "rootfs/etc/": b"",
    "rootfs/etc/name": b"box\n",
    "rootfs/bin": "usr/bin",
    "templates/hostname.tpl": b"{{ name }}",
    "rootfsy/x": b"",
}


def part(data: bytes, directory: str = "rootfs") -> dict[bytes, tuple[Entry, bytes]]:
    reader = Reader(Stream(list(below([data], directory, "it"))), "the part")
    return {entry.name: (entry, b"".join(map(bytes, reader.data()))) for entry in reader}


def test_the_rest_is_left_out_and_names_begin_anew() -> None:
    found = part(tar(FILES))
    assert list(found) == [b"./", b"etc/", b"etc/name", b"bin"]
    assert found[b"etc/name"][1] == b"box\n"
    assert found[b"bin"][0].target == b"usr/bin"


@pytest.mark.parametrize("directory", ["rootfs", "./rootfs/", "/rootfs"])
def test_the_directory_may_be_spelled_in_any_way(directory: str) -> None:
    dotted = tar({f"./{name}": content for name, content in FILES.items()})
    assert list(part(dotted, directory)) == [b"./", b"etc/", b"etc/name", b"bin"]


def test_it_may_be_compressed() -> None:
    assert part(lzma.compress(tar(FILES), preset=0)).keys() == part(tar(FILES)).keys()


def test_nothing_else_changes_on_the_way(tmp_path: Path) -> None:
    root = tmp_path / "rootfs" / ("deep" * 20) / ("er" * 60)
    root.mkdir(parents=True)
    with open(root / "sparse", "wb") as file:
        file.truncate(5 << 20)
        file.seek(1 << 20)
        file.write(b"x" * 5000)
    (root / "one").write_bytes(b"y" * 700)
    (root / "two").hardlink_to(root / "one")
    for kind in ("gnu", "posix"):
        words = ["tar", "-S", f"--format={kind}", "-C", str(tmp_path), "-cf", "-", "rootfs"]
        packed = subprocess.run(words, capture_output=True, check=True).stdout
        whole = {e.name: e for e in Reader(Stream([packed]), "it")}
        found = part(packed)
        assert len(found) == len(whole)
        for name, (entry, _) in found.items():
            before = whole[(b"rootfs/" + name) if name != b"./" else b"rootfs/"]
            target = before.target.removeprefix(b"rootfs/")
            seconds = before.mtime_ns // 10**9
            assert entry.mtime_ns // 10**9 == seconds
            same = before._replace(
                name=name, target=target, offset=entry.offset, mtime_ns=entry.mtime_ns,
                extents=entry.extents,
            )  # fmt: skip
            assert entry == same
            held = [e for e in before.extents or () if e[1]]
            assert [e for e in entry.extents or () if e[1]] == held


@pytest.mark.parametrize("directory", ["", "/", ".", "a/../b"])
def test_a_directory_that_is_none_is_refused(directory: str) -> None:
    if not directory:
        directory = "//"
    with pytest.raises(InvalidArgument, match="invalid directory of an archive"):
        part(tar(FILES), directory)


def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidArgument, match="it: it has no directory 'root'"):
        part(tar(FILES), "root")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (member("rootfs", tarfile.SYMTYPE, linkname="/etc"), "is a symlink, not the directory"),
        (member("rootfs/x", tarfile.LNKTYPE, linkname="metadata.yaml"), "is not below the same"),
        (member("rootfs/x", tarfile.LNKTYPE, linkname="rootfs"), "is not below the same"),
        (member("rootfs/../x", tarfile.REGTYPE), 'goes up with ".."'),
        (member("../x", tarfile.REGTYPE), 'goes up with ".."'),
    ],
)
def test_what_leads_out_of_it_is_refused(entry: tarfile.TarInfo, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        part(tar({}, entry))


def test_an_archive_that_ends_too_early_gives_no_whole_one() -> None:
    whole = tar(FILES)
    with pytest.raises(DataLoss):
        part(whole[:2000])


@given(st.binary(max_size=1500), st.integers(0, 4000))
def test_no_bytes_make_it_fail_in_another_way(noise: bytes, at: int) -> None:
    data = tar(FILES)
    try:
        list(below([data[:at] + noise + data[at + len(noise) :]], "rootfs", "it"))
    except Error:
        pass


def test_python_reads_it_as_well() -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(below([tar(FILES)], "rootfs", "it")))) as archive:
        assert archive.getnames() == [".", "etc", "etc/name", "bin"]
