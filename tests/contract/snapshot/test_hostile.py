"""Archives that no honest tool writes: refused, or the same for both snapshotters, and harmless."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.layer.store import LayerStore
from casemate.layer.tar import Entry
from casemate.snapshot.directories import DirectoryLowers
from casemate.snapshot.erofs import ErofsLowers
from contract.snapshot.conftest import unmount_below
from contract.snapshot.trees import archive, described, directory, file, symlink

pytestmark = pytest.mark.root

_PARTS = [b"a", b"b", b"l", b".", b"..", b"", b".wh.a", b".wh..wh..opq", b".wh..wh.plnk", b".wh.."]
_TARGETS = [b"a", b"b", b"/", b"..", b"../..", b"../../outside", b"/outside", b"l", b"a/../b"]

paths = st.one_of(
    st.lists(st.sampled_from(_PARTS[:3]), min_size=1, max_size=3),
    st.lists(st.sampled_from(_PARTS), min_size=1, max_size=3),
).map(b"/".join)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, bytes]:
    name = draw(paths)
    kind = draw(st.sampled_from(["file", "directory", "symlink", "link", "fifo", "character"]))
    if kind == "file":
        return file(name, draw(st.binary(max_size=20)))
    if kind == "directory":
        return directory(name, draw(st.sampled_from([0o755, 0o700])))
    if kind == "symlink":
        return symlink(name, draw(st.sampled_from(_TARGETS)))
    target = draw(st.one_of(paths, st.sampled_from(_TARGETS))) if kind == "link" else b""
    return Entry(name, kind, 0o600, 0, 0, 0, target=target, major=1, minor=3), b""


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(entries(), min_size=1, max_size=8))
def test_any_archive_is_refused_or_the_same_for_all(
    possible: dict[str, str | None], tmp_path: Path, members: list[tuple[Entry, bytes]]
) -> None:
    if reason := possible["erofs"] or possible["directories"]:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        top = Path(place)
        (top / "outside").mkdir()
        (top / "outside/sentinel").write_text("untouched")
        before = described(str(top / "outside"))
        store = LayerStore(f"{place}/inside")
        try:
            layer = store.ingest([archive(members)], what="layer x")
        except InvalidArgument as error:
            assert str(error).startswith("layer x: ")
            assert list(store.walk()) == os.listdir(f"{place}/inside/layers/ingest") == []
            return
        store.verify(layer.diff_id)
        try:
            mounted = ErofsLowers(f"{place}/run").ensure(layer)
            unpacked = DirectoryLowers(f"{place}/inside").ensure(layer)
            assert described(mounted) == described(unpacked)
            assert _opaque(mounted) == _opaque(unpacked)
        finally:
            unmount_below(top)
        assert described(str(top / "outside")) == before
        assert sorted(os.listdir(top)) == ["inside", "outside", "run"]


def _opaque(root: str) -> set[str]:
    """Return the directories below ``root`` that hide what other layers have."""
    found = set()
    for path, _, _ in os.walk(root):
        if "trusted.overlay.opaque" in os.listxattr(path):
            assert os.getxattr(path, "trusted.overlay.opaque") == b"y"
            found.add(os.path.relpath(path, root))
    return found
