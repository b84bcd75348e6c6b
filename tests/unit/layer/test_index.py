"""The EROFS index, judged by erofs-utils; what the kernel says of it is in the contract tests."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from casemate.layer import index
from casemate.layer.store import Layer, LayerStore
from casemate.layer.tar import Entry
from contract.snapshot.trees import archive, directory, file, members, symlink
from unit.layer.archives import END, tree
from unit.layer.archives import file as raw_file


@pytest.fixture(scope="module")
def fsck() -> str:
    program = shutil.which("fsck.erofs")
    if program is None:
        pytest.skip("fsck.erofs is not installed (erofs-utils)")
    with tempfile.TemporaryDirectory() as place:
        layer = LayerStore(place).ingest([END], what="an empty layer")
        if "isn't supported on this platform" in checked(program, layer).stderr:
            pytest.skip("this fsck.erofs does not know blocks of 512 bytes (erofs-utils 1.6 does)")
    return program


def checked(program: str, layer: Layer) -> subprocess.CompletedProcess[str]:
    devices = [f"--device={device}" for device in layer.devices]
    return subprocess.run([program, *devices, layer.index], capture_output=True, text=True)


@settings(max_examples=60, deadline=None)
@given(members())
def test_any_honest_layer_has_a_sound_index(fsck: str, layer: list[tuple[Entry, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = LayerStore(place).ingest([archive(layer)], what="layer x")
        done = checked(fsck, found)
        assert (done.returncode, done.stderr) == (0, "")


def test_odd_layers_have_a_sound_index(fsck: str, tmp_path: Path) -> None:
    odd = [
        *(symlink(b"l%d" % length, b"t" * length) for length in [*range(400, 560), 4095]),
        *(file(b"d/%d" % at + b"x" * (at % 240)) for at in range(2000)),
        *(file(b"x%d" % at, xattrs={b"user.a": b"v" * at * 31}) for at in range(60)),
        directory(b"gone"),
        file(b"gone/.wh.x"),
        file(b"gone/.wh..wh..opq"),
    ]
    layer = LayerStore(str(tmp_path)).ingest([archive(odd)], what="layer x")
    done = checked(fsck, layer)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_superblock_says_what_the_format_wants(tmp_path: Path) -> None:
    data = raw_file(b"f", b"x") + END
    layer = LayerStore(str(tmp_path)).ingest([data], what="layer x")
    block = Path(layer.index).read_bytes()[1024:]
    magic, checksum, compatible, bits, _, root = struct.unpack_from("<IIIBBH", block)
    assert (magic, checksum, compatible, bits) == (0xE0F5E1E2, 0, 0, 9)
    assert root != 0
    (inodes,) = struct.unpack_from("<Q", block, 16)
    assert inodes == 2
    assert block[48:64].hex() == layer.diff_id[7:39]  # the UUID
    (tar_blocks,) = struct.unpack_from("<I", block, 128 + 64)
    assert tar_blocks == len(data) // 512
    assert Path(layer.index).stat().st_size == layer.record.index_size


def test_an_index_of_many_names_is_written_in_pieces(tmp_path: Path) -> None:
    found = tree(*(raw_file(b"d%d/f%d" % (at % 7, at)) for at in range(20_000)))
    nodes = found.finish()
    with open(tmp_path / "index", "w+b") as target:
        size = index.write(nodes, target, index.Data(20_000, 0, {}), bytes(16))
    assert (tmp_path / "index").stat().st_size == size
    assert [node.number for node in nodes] == sorted({node.number for node in nodes})
