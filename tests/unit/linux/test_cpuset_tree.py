"""Processors of a cgroup with others below: no cpuset has more than the one above, ever."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Conflict, InvalidArgument
from casemate.linux.cgroups import cpuset_tree
from casemate.linux.cgroups.cpuset import inside, parse_list

FILE = "cpuset.cpus"


class TreePlace:
    """A cpuset in memory that refuses what version 1 refuses."""

    def __init__(self, path: str, text: str, above: TreePlace | None, version: int = 1) -> None:
        self.path, self.text, self.above, self.version = path, text, above, version
        self.below: dict[str, TreePlace] = {}
        if above:
            above.below[path.rpartition("/")[2]] = self

    def read(self, file: str) -> str:
        return f"{self.text}\n"

    def write(self, file: str, text: str) -> None:
        wanted = parse_list(text)
        if self.version == 1:
            if self.above and not inside(wanted, parse_list(self.above.text)):
                raise OSError(errno.EACCES, "Permission denied")
            if not all(inside(parse_list(p.text), wanted) for p in self.below.values()):
                raise OSError(errno.EBUSY, "Device or resource busy")
        self.text = ",".join(f"{a}-{b}" for a, b in wanted)

    def children(self) -> list[str]:
        return sorted(self.below)

    def child(self, name: str) -> TreePlace:
        return self.below[name]

    def parent(self) -> TreePlace:
        assert self.above
        return self.above


def holds(place: TreePlace, text: str) -> bool:
    return parse_list(place.text) == parse_list(text)


def tree(text: str = "0-7") -> tuple[TreePlace, ...]:
    """A root, a group, a container in it that is as wide, one that chose, and one deeper."""
    root = TreePlace(".", "0-7", None)
    group = TreePlace("g", text, root)
    plain, chosen = TreePlace("g/plain", text, group), TreePlace("g/chosen", "0-1", group)
    return root, group, plain, chosen, TreePlace("g/chosen/deep", "1", chosen)


def share(place: Any, text: str, own: dict[str, str]) -> None:
    cpuset_tree.share(place, FILE, text, own)


def test_all_that_is_below_follows_but_for_what_has_chosen() -> None:
    _, group, plain, chosen, deep = tree()
    share(group, "1-3", {"g/chosen": "1"})
    assert holds(group, "1-3") and holds(plain, "1-3") and holds(chosen, "1") and holds(deep, "1")
    share(group, "4-5", {})
    assert holds(plain, "4-5") and holds(chosen, "4-5") and holds(deep, "4-5")
    share(group, "", {})
    assert holds(group, "0-7") and holds(plain, "0-7")


SETS = st.sets(st.integers(0, 7), min_size=1).map(lambda s: ",".join(map(str, sorted(s))))


@given(SETS, SETS, SETS)
def test_from_any_list_to_any_other(first: str, second: str, own: str) -> None:
    """The kernel never sees a cpuset that has more than the one above it."""
    _, group, plain, chosen, _ = tree()
    for text in (first, second):
        chosen_set = own if inside(parse_list(own), parse_list(text)) else text
        share(group, text, {"g/chosen": chosen_set})
        assert holds(group, text) and holds(plain, text) and holds(chosen, chosen_set)


def test_a_cgroup_that_is_made_meanwhile_is_waited_for() -> None:
    _, group, _, _, _ = tree()
    late: list[TreePlace] = []
    children = group.children

    def once() -> list[str]:
        found = children()
        if not late:
            late.append(TreePlace("g/late", "0-7", group))
        return found

    group.children = once  # type: ignore[method-assign]
    share(group, "2", {"g/chosen": "2"})
    assert holds(group, "2") and holds(late[0], "2")


def test_what_cannot_be_is_an_error_that_names_it() -> None:
    _, group, _, _, _ = tree()
    with pytest.raises(InvalidArgument, match="cannot use CPUs 0-9: available are 0-7"):
        share(group, "0-9", {})
    stubborn = TreePlace("g/stubborn", "0-7", group)
    stubborn.write = lambda file, text: None  # type: ignore[method-assign]
    with pytest.raises(Conflict, match=r"cannot set cpuset.cpus of cgroup g to 1"):
        share(group, "1", {"g/chosen": "1"})


def test_version_2_sees_to_it_itself() -> None:
    root = TreePlace(".", "0-7", None, 2)
    group = TreePlace("g", "", root, 2)
    written: list[str] = []
    write = group.write
    group.write = lambda file, text: (written.append(text), write(file, text))  # type: ignore
    share(group, "1-3", {})
    share(group, "", {})
    assert written == ["1-3", "\n"]
