"""Places for mounts that an image lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casemate.snapshot.mounts import RootMount
from casemate.snapshot.stubs import Stubs

pytestmark = pytest.mark.root

PLACES = {"dev", "proc", "sys", "etc", ".dockerenv"}


def _root(place: Path) -> RootMount:
    for name in ("image", "upper", "work", "empty"):
        (place / name).mkdir()
    os.chmod(place / "upper", 0o751)
    return RootMount((f"{place}/image", f"{place}/empty"), f"{place}/upper", f"{place}/work")


def test_what_an_image_lacks_is_put_between_it_and_the_writable_layer(tmp_path: Path) -> None:
    root = _root(tmp_path)
    stubs = Stubs(f"{tmp_path}/stubs")
    placed = stubs.under(root, ())
    assert placed.lower[1:] == root.lower
    tree = Path(placed.lower[0])
    assert set(os.listdir(tree)) == PLACES
    assert tree.stat().st_mode & 0o7777 == 0o751
    assert os.readlink(tree / "etc/mtab") == "/proc/mounts"
    assert os.listdir(root.upper or "") == []
    assert stubs.under(root, ()) == placed


def test_what_an_image_has_stays_as_it_is(tmp_path: Path) -> None:
    root = _root(tmp_path)
    etc = tmp_path / "image" / "etc"
    etc.mkdir(mode=0o700)
    (etc / "hosts").write_text("of the image")
    os.utime(etc, (1, 2))
    tree = Path(Stubs(f"{tmp_path}/stubs").under(root, ()).lower[0])
    assert set(os.listdir(tree / "etc")) == {"hostname", "resolv.conf", "mtab"}
    found = (tree / "etc").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o700, 2)


def test_an_image_that_lacks_nothing_gets_nothing(tmp_path: Path) -> None:
    root = _root(tmp_path)
    image = tmp_path / "image"
    for name in ("dev", "proc", "sys", "etc"):
        (image / name).mkdir()
    for name in (".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"):
        (image / name).touch()
    assert Stubs(f"{tmp_path}/stubs").under(root, ()) == root


@pytest.mark.parametrize("target", ["/tmp", "../../../../tmp", "/nowhere", "etc"])
def test_links_of_the_image_lead_nowhere_outside(tmp_path: Path, target: str) -> None:
    root = _root(tmp_path)
    os.symlink(target, tmp_path / "image" / "etc")
    os.symlink("/", tmp_path / "image" / "proc")
    before = set(os.listdir("/tmp"))
    Stubs(f"{tmp_path}/stubs").under(root, ())
    assert not {"hosts", "hostname", "mtab"} & (set(os.listdir("/tmp")) - before)


def test_they_go_with_the_layers_of_their_image(tmp_path: Path) -> None:
    from casemate.oci import digest as digests

    root, layer = _root(tmp_path), digests.of(b"layer")
    stubs = Stubs(f"{tmp_path}/stubs")
    stubs.under(root, (layer,))
    stubs.under(root, ())
    stubs.release(layer)
    assert [n for n in os.listdir(tmp_path / "stubs") if not n.startswith(".")] == ["none"]
    assert stubs.clean() == 0
