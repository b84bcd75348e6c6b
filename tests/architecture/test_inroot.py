"""Paths inside an image, a layer or a container go through ``linux/inroot.py`` alone.

One opener, one walk that the kernel keeps inside of a root: most holes of the kind were paths that
somebody joined and opened in two steps. What is checked here is what can be told from the text of
the modules that look into trees which others have written.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from architecture.sources import MODULES, SOURCE, called, named, tree

#: What resolves a path more than once, or follows links on the way.
NOWHERE = {
    *("os.path.join", "os.path.realpath", "os.path.exists", "os.walk", "os.chdir", "os.chroot"),
    *("os.makedirs", "os.removedirs", "os.renames", "glob.glob", "shutil.copytree"),
    *("shutil.copyfile", "shutil.copy", "shutil.copy2", "shutil.move", "shutil.unpack_archive"),
    *("tarfile.open", "zipfile.ZipFile", "Path", "pathlib.Path"),
}
#: System calls by name, which take a directory's descriptor with it.
BY_NAME = {
    *("open", "stat", "lstat", "mkdir", "unlink", "remove", "rmdir", "link", "symlink"),
    *("readlink", "rename", "replace", "mknod", "mkfifo", "chmod", "chown", "lchown", "access"),
}
#: The modules that look into what an image or a container has written.
INSIDE = [
    SOURCE / name
    for name in (
        *("layer/apply.py", "layer/diff.py", "layer/extract.py", "layer/making.py"),
        *("layer/members.py", "layer/overlay.py", "layer/view.py", "layer/walk.py"),
    )
] + [SOURCE / "snapshot" / "below.py"]
#: The directories of our own that they are told about, by the names that they have there.
ROOMS = ("layer", "snapshot")


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Return what a module calls."""
    return [(called(n), n) for n in ast.walk(tree(path)) if isinstance(n, ast.Call)]


def test_the_modules_are_there() -> None:
    assert not [path for path in INSIDE if not path.exists()]


@pytest.mark.parametrize("path", INSIDE, ids=named)
def test_who_looks_into_a_tree_joins_no_paths(path: Path) -> None:
    found = {f"{name} in line {node.lineno}" for name, node in calls(path) if name in NOWHERE}
    assert not found


@pytest.mark.parametrize("path", INSIDE, ids=named)
def test_who_looks_into_a_tree_names_the_directory(path: Path) -> None:
    """A name is looked up in an open directory, or the call acts on a descriptor."""
    found = set()
    for name, node in calls(path):
        if name == "open":
            found.add(f"open in line {node.lineno}")
        if name.removeprefix("os.") not in BY_NAME or not name.startswith("os."):
            continue
        keywords = {k.arg for k in node.keywords}
        by_descriptor = bool(node.args) and ast.unparse(node.args[0]).startswith("path_of(")
        if not by_descriptor and not keywords & {"dir_fd", "src_dir_fd", "dst_dir_fd"}:
            found.add(f"{ast.unparse(node)} in line {node.lineno}")
    assert not found


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.relative_to(SOURCE).parts[0] in ROOMS], ids=named
)
def test_no_room_of_trees_unpacks_by_names(path: Path) -> None:
    """Whole trees are copied, and archives unpacked, by our own readers on descriptors."""
    unsafe = {name for name in NOWHERE if name.startswith(("shutil.", "tarfile.", "zipfile."))}
    names = {name for name, _ in calls(path)}
    assert not names & (unsafe | {"os.path.join", "os.walk", "os.chroot"})
