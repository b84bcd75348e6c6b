"""What entries add up to: the last wins, nothing leaves the layer, whiteouts hide other layers."""

from __future__ import annotations

import time

import pytest

from casemate.errors import InvalidArgument
from casemate.layer.limits import DEFAULT
from unit.layer.archives import (
    block,
    directory,
    file,
    hard_link,
    names,
    pax,
    symlink,
    tree,
)


def kinds(*parts: bytes) -> dict[str, str]:
    return {path: node.kind for path, node in names(*parts).items()}


def test_dots_and_slashes_in_names_mean_nothing() -> None:
    assert set(names(directory(b"./a//"), file(b"a/./b"), file(b".hidden"), file(b".//c"))) == {
        "a",
        "a/b",
        ".hidden",
        "c",
    }


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (b"/etc/passwd", "is absolute"),
        (b"//x", "is absolute"),
        (b"../x", r'goes up with "\.\."'),
        (b"a/../../x", r'goes up with "\.\."'),
        (b"a/..", r'goes up with "\.\."'),
        (b"./..", r'goes up with "\.\."'),
    ],
)
def test_names_that_lead_out_of_the_layer_are_refused(name: bytes, rule: str) -> None:
    with pytest.raises(InvalidArgument, match=rule):
        tree(file(name))
    with pytest.raises(InvalidArgument, match=f"is a hard link to .* which {rule}"):
        tree(file(b"x"), hard_link(b"y", name))


def test_a_part_longer_than_any_file_system_takes_is_refused() -> None:
    long = b"n" * 256
    for name in (long, b"a/" + long + b"/b"):
        with pytest.raises(InvalidArgument, match="part longer than 255 bytes"):
            tree(pax([(b"path", name)]), file(b"x"))
    with pytest.raises(InvalidArgument, match="part longer than 255 bytes"):
        tree(pax([(b"linkpath", long + b"/x")]), symlink(b"s", b""), file(b"s/y"))


def test_missing_parents_are_made_and_later_described() -> None:
    found = names(file(b"a/b/c"), directory(b"a", mode=b"0000700\0"))
    assert found["a"].mode == 0o700
    assert (found["a/b"].mode, found["a/b"].uid, found["a/b"].mtime_ns) == (0o755, 0, 0)
    assert found["a/b/c"].kind == "file"


def test_the_last_of_two_entries_wins() -> None:
    assert names(file(b"a", b"1"), file(b"a", b"22"))["a"].size == 2
    assert kinds(directory(b"d"), file(b"d/x"), file(b"d")) == {"d": "file"}
    assert kinds(file(b"d"), directory(b"d"), file(b"d/x")) == {"d": "directory", "d/x": "file"}
    twice = names(directory(b"d"), file(b"d/x"), directory(b"d", mode=b"0000711\0"))
    assert (set(twice), twice["d"].mode) == ({"d", "d/x"}, 0o711)


def test_after_a_directory_was_replaced_nothing_of_it_comes_back() -> None:
    found = kinds(directory(b"d/e"), file(b"d/e/x"), file(b"d"), directory(b"d"), file(b"d/e/y"))
    assert found == {"d": "directory", "d/e": "directory", "d/e/y": "file"}


def test_a_file_cannot_be_a_parent() -> None:
    for parent, kind in ((file(b"a"), "file"), (block(b"a", b"6"), "fifo")):
        with pytest.raises(InvalidArgument, match=f'lies below "a", which is a {kind}'):
            tree(parent, file(b"a/b"))


def test_the_root_is_a_directory() -> None:
    found = tree(directory(b"./", mode=b"0001777\0"))
    assert (found.root.mode, found.root_named) == (0o1777, True)
    assert not tree(file(b"a")).root_named
    for name in (b"./", b".", b""):
        with pytest.raises(InvalidArgument, match="makes the root a file"):
            tree(file(name))


# Links.


def test_links_on_the_way_are_followed_inside_the_layer() -> None:
    assert set(
        names(
            directory(b"usr/lib"),
            symlink(b"lib", b"usr/lib"),
            symlink(b"abs", b"/../../usr/./lib"),
            symlink(b"usr/up", b"../../../new"),
            file(b"lib/a"),
            file(b"abs/b"),
            file(b"usr/up/c"),
        )
    ) == {"usr", "usr/lib", "usr/up", "lib", "abs", "usr/lib/a", "usr/lib/b", "new", "new/c"}


def test_a_link_that_was_replaced_is_not_followed_any_more() -> None:
    found = set(
        names(
            symlink(b"l", b"one"),
            file(b"l/a"),
            symlink(b"l", b"two"),
            file(b"l/b"),
            directory(b"l"),
            file(b"l/c"),
        )
    )
    assert found == {"l", "one", "one/a", "two", "two/b", "l/c"}


def test_a_directory_replaces_a_link_of_its_name() -> None:
    found = kinds(symlink(b"l", b"t"), directory(b"t"), directory(b"l"), file(b"l/x"))
    assert found == {"l": "directory", "l/x": "file", "t": "directory"}


def test_links_in_a_circle_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="more than 40 symbolic links"):
        tree(symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x"))


def test_following_links_has_a_budget_for_the_whole_archive() -> None:
    target = b"./" * 2000
    links = [b"l%d" % at for at in range(100)]
    parts = [pax([(b"linkpath", target)]) + symlink(link, b"") for link in links]
    parts += [file(link + b"/" + (link + b"/") * 15 + b"x") for link in links * 2]
    parts += [file(link + b"/" + (link + b"/") * 16 + b"x") for link in links * 2]
    start = time.process_time()
    with pytest.raises(InvalidArgument, match="too many symbolic links"):
        tree(*parts)
    assert time.process_time() - start < 20


def test_hard_links_are_names_of_one_node() -> None:
    found = names(
        file(b"a", b"data"),
        hard_link(b"d/b", b"a"),
        hard_link(b"c", b"./d/b"),
        symlink(b"s", b"a"),
        hard_link(b"t", b"s"),
    )
    assert found["a"] is found["d/b"] is found["c"]
    assert found["a"].links == 3
    assert found["s"] is found["t"]
    assert found["t"].kind == "symlink"


def test_a_hard_link_keeps_a_file_whose_name_was_taken() -> None:
    found = names(file(b"a", b"old"), hard_link(b"b", b"a"), file(b"a", b"longer"))
    assert (found["b"].size, found["b"].links) == (3, 1)
    assert (found["a"].size, found["a"].links) == (6, 1)


def test_a_hard_link_to_itself_changes_nothing() -> None:
    assert names(file(b"a", b"data"), hard_link(b"a", b"a"))["a"].links == 1


def test_hard_links_look_through_links_but_not_at_the_end() -> None:
    found = names(symlink(b"l", b"d"), file(b"d/x"), hard_link(b"y", b"l/x"))
    assert found["y"] is found["d/x"]


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ((hard_link(b"b", b"a"),), "which this layer does not hold before it"),
        ((hard_link(b"b", b"a"), file(b"a")), "which this layer does not hold before it"),
        ((hard_link(b"b", b"no/such"),), "which this layer does not hold before it"),
        ((file(b".wh.a"), hard_link(b"b", b"a")), "which this layer does not hold before it"),
        ((file(b".wh.a"), hard_link(b"b", b".wh.a")), "which this layer does not hold"),
        ((directory(b"a"), hard_link(b"b", b"a")), "which is a directory"),
        ((directory(b"a"), hard_link(b"b", b".")), "which this layer does not hold"),
    ],
)
def test_a_hard_link_to_what_is_not_there_is_refused(parts: tuple[bytes, ...], rule: str) -> None:
    with pytest.raises(InvalidArgument, match=f'entry "b" is a hard link to .*{rule}'):
        tree(*parts)


# Whiteouts.


def test_a_whiteout_becomes_overlayfss_own() -> None:
    found = names(file(b"d/.wh.gone"))
    assert set(found) == {"d", "d/gone"}
    gone = found["d/gone"]
    assert (gone.kind, gone.major, gone.minor, gone.mode) == ("character", 0, 0, 0)


def test_an_opaque_whiteout_marks_its_directory() -> None:
    assert names(file(b"d/.wh..wh..opq"), file(b"d/x"))["d"].opaque
    assert names(file(b"d/x"), file(b"d/.wh..wh..opq"))["d"].opaque
    found = tree(file(b".wh..wh..opq"))
    assert found.root.opaque


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_does_not_hide_its_own_layer(order: int) -> None:
    assert kinds(*[file(b".wh.a"), file(b"a", b"x")][::order]) == {"a": "file"}
    found = names(*[file(b".wh.d"), file(b"d/x")][::order])
    assert set(found) == {"d", "d/x"}
    assert found["d"].opaque  # what other layers have in d is hidden all the same


def test_a_whiteout_that_was_a_file_and_then_a_directory_is_still_opaque() -> None:
    assert names(file(b".wh.d"), file(b"d"), directory(b"d"))["d"].opaque


def test_whiteouts_of_a_directory_go_with_it() -> None:
    assert kinds(file(b"d/.wh.a"), file(b"d"), directory(b"d")) == {"d": "directory"}


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b"d/.wh..", b".wh..."])
def test_a_whiteout_of_no_name_or_of_dots_is_refused(name: bytes) -> None:
    with pytest.raises(InvalidArgument, match="whiteout of no name"):
        tree(file(name))


def test_a_whiteout_is_no_directory() -> None:
    with pytest.raises(InvalidArgument, match=r'below the whiteout "\.wh\.d"'):
        tree(directory(b".wh.d"), file(b".wh.d/x"))


def test_names_that_aufs_kept_for_itself_go_but_hard_links_to_them_stay() -> None:
    found = names(
        directory(b".wh..wh.plnk"),
        file(b".wh..wh.plnk/1.2", b"data"),
        file(b".wh..wh.aufs"),
        hard_link(b"a", b".wh..wh.plnk/1.2"),
    )
    assert set(found) == {"a"}
    assert (found["a"].size, found["a"].links) == (4, 1)


def test_an_opaque_whiteout_behind_a_link_stays_in_the_layer() -> None:
    found = names(directory(b"d"), symlink(b"l", b"/../d"), file(b"l/.wh..wh..opq"))
    assert found["d"].opaque
    with pytest.raises(InvalidArgument, match="lies below"):
        tree(file(b"f"), symlink(b"l", b"f"), file(b"l/.wh..wh..opq"))


# What nodes may be.


@pytest.mark.parametrize(
    ("part", "rule"),
    [
        (block(b"x", b"3"), "device 0:0, which is overlayfs's own mark"),
        (block(b"x", b"3", device=b"0010000\x000000001\0"), "device 4096:1, which cannot exist"),
        (block(b"x", b"4", device=b"0000001\x0004000000"), "device 1:1048576, which cannot"),
        (symlink(b"x", b""), "symbolic link to nothing"),
        (pax([(b"linkpath", b"x" * 4096)]) + symlink(b"x", b""), "longer than 4095"),
        (pax([(b"uid", b"4294967295")]) + file(b"x"), "owner 4294967295:0"),
        (block(b"x", gid=b"\xff" * 8), "owner 0:-1"),
        (pax([(b"mtime", b"9" * 18)]) + file(b"x"), ""),
        (pax([(b"SCHILY.xattr.trusted.overlay.opaque", b"y")]) + file(b"x"), "overlayfs"),
        (pax([(b"SCHILY.xattr.trusted.overlay.redirect", b"/")]) + file(b"x"), "overlayfs"),
        (pax([(b"SCHILY.xattr.user." + b"n" * 251, b"")]) + file(b"x"), "no file can have"),
        (pax([(b"SCHILY.xattr.user.a", b"v" * 65536)]) + file(b"x"), "no file can have"),
        (pax([(b"SCHILY.xattr.system.posix_acl_access", b"x")]) + file(b"x"), "no POSIX ACL"),
    ],
)
def test_what_no_file_can_be_is_refused(part: bytes, rule: str) -> None:
    if not rule:
        assert names(part)
        return
    with pytest.raises(InvalidArgument, match=f'layer x: entry "x" .*{rule}'):
        tree(part)


def test_attributes_that_the_kernel_would_refuse_are_left_out() -> None:
    acl = b"\2\0\0\0" + bytes(8)
    records = [
        (b"SCHILY.xattr." + name, value)
        for name, value in (
            (b"user.a", b"1"),
            (b"user.overlay.opaque", b"y"),
            (b"trusted.t", b"2"),
            (b"security.capability", b"3"),
            (b"com.apple.quarantine", b"4"),
            (b"user.", b"5"),
            (b"system.posix_acl_access", acl),
            (b"system.posix_acl_default", acl),
        )
    ]
    found = names(
        pax(records) + file(b"f"),
        pax(records) + directory(b"d"),
        pax(records) + symlink(b"s", b"x"),
    )
    common = {b"trusted.t", b"security.capability"}
    user = {b"user.a", b"user.overlay.opaque"}
    assert set(found["f"].xattrs or ()) == common | user | {b"system.posix_acl_access"}
    assert set(found["d"].xattrs or ()) == set(found["f"].xattrs or ()) | {
        b"system.posix_acl_default"
    }
    assert set(found["s"].xattrs or ()) == common


def test_a_tree_cannot_grow_deeper_than_a_path() -> None:
    parts = [pax([(b"path", b"d/" * 1500 + b"x")]) + file(b"")]
    parts.append(pax([(b"linkpath", b"d/" * 1500)]) + symlink(b"l", b""))
    with pytest.raises(InvalidArgument, match="deeper than 4096 bytes of path"):
        tree(*parts, pax([(b"path", b"l/" + b"e/" * 1500 + b"x")]) + file(b""))


def test_entries_are_bounded_by_limits_of_the_caller() -> None:
    with pytest.raises(InvalidArgument, match="longer than 300 bytes"):
        tree(
            pax([(b"path", b"d/" * 150 + b"x")]) + file(b""),
            limits=DEFAULT._replace(path_bytes=300),
        )
