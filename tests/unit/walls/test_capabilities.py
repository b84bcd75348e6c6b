from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.linux.capabilities import NAMES
from casemate.walls.capabilities import DEFAULT, choose, sets

HERE = tuple(name for name in NAMES if name != "CAP_SYS_RESOURCE")


def test_the_default_has_eleven_capabilities() -> None:
    assert choose(DEFAULT, (), ()) == DEFAULT
    assert len(DEFAULT) == 11
    assert not {"CAP_MKNOD", "CAP_NET_RAW", "CAP_AUDIT_WRITE"} & set(DEFAULT)


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["NET_ADMIN"], [], {*DEFAULT, "CAP_NET_ADMIN"}),
        (["cap_net_admin", "Net_Raw"], [], {*DEFAULT, "CAP_NET_ADMIN", "CAP_NET_RAW"}),
        ([], ["chown"], set(DEFAULT) - {"CAP_CHOWN"}),
        ([], ["ALL"], set()),
        (["KILL", "SYS_TIME"], ["all"], {"CAP_KILL", "CAP_SYS_TIME"}),
        (["ALL"], [], set(NAMES)),
        (["all"], ["SYS_ADMIN"], set(NAMES) - {"CAP_SYS_ADMIN"}),
        (["ALL"], ["ALL"], set(NAMES)),
        (["ALL", "KILL"], ["KILL"], set(NAMES) - {"CAP_KILL"}),
        (["CHOWN"], ["CHOWN"], set(DEFAULT)),
        ([], ["NET_ADMIN"], set(DEFAULT)),
    ],
)
def test_adding_and_dropping(add: list[str], drop: list[str], expected: set[str]) -> None:
    assert set(choose(DEFAULT, add, drop)) == expected


def test_privileged_gives_all_that_the_engine_has() -> None:
    chosen = choose(DEFAULT, ["SYS_RESOURCE"], ["KILL"], privileged=True, available=HERE)
    assert chosen == HERE


@pytest.mark.parametrize("name", ["", "ROOT", "CAP_", "CAP_CAP_KILL", "KILL ", "KİLL", "ALL_CAPS"])
def test_a_name_that_is_no_capability_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="--cap-add"):
        choose(DEFAULT, [name], [])
    with pytest.raises(InvalidArgument, match="--cap-drop"):
        choose(DEFAULT, [], [name], privileged=True)


def test_what_the_engine_lacks_cannot_be_added_but_dropped() -> None:
    with pytest.raises(InvalidArgument, match="CAP_SYS_RESOURCE: the engine does not have it"):
        choose(DEFAULT, ["sys_resource"], [], available=HERE)
    assert choose(DEFAULT, [], ["SYS_RESOURCE"], available=HERE) == DEFAULT
    assert choose(DEFAULT, ["ALL"], [], available=HERE) == HERE
    assert "CAP_CHOWN" not in choose(DEFAULT, [], [], available=("CAP_KILL",))


def test_only_root_starts_with_capabilities_and_nobody_inherits_any() -> None:
    root = sets(DEFAULT, root=True)
    assert root.bounding == root.effective == root.permitted == DEFAULT
    assert root.inheritable == root.ambient == ()
    user = sets(DEFAULT, root=False)
    assert user.bounding == DEFAULT
    assert user.effective == user.permitted == user.inheritable == user.ambient == ()


names = st.sampled_from([*NAMES, "ALL", *(n.removeprefix("CAP_").lower() for n in NAMES)])


@given(st.lists(names, max_size=5), st.lists(names, max_size=5))
def test_the_result_is_ordered_unique_and_available(add: list[str], drop: list[str]) -> None:
    chosen = choose(DEFAULT, add, drop)
    assert list(chosen) == [name for name in NAMES if name in chosen]
    for name in add:
        if name.upper() != "ALL" and "ALL" not in map(str.upper, add):
            assert f"CAP_{name.upper().removeprefix('CAP_')}" in chosen
