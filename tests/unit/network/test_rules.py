"""The firewall's rules as data: golden batches, and what is read back."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from casemate.errors import Internal, Unsupported
from casemate.network import options, rules, subnets
from casemate.network.firewall import Firewall, differences
from casemate.network.model import HOST, NONE, Network

_GOLDEN = os.path.join(os.path.dirname(__file__), "golden")


def _network(name: str, bridge: str, *given: str, **more: Any) -> Network:
    parsed = tuple(subnets.parse(one) for one in given)
    return Network(name, name, "bridge", parsed, bridge=bridge, mtu=1500, **more)


DEFAULT = _network("bridge", "casemate0", "172.17.0.0/16")
DUAL = _network("dual", "br-dual", "172.18.0.0/16", "fd00:18::/64")
INNER = _network("inner", "br-inner", "172.19.0.0/16", "fd00:19::/64", internal=True)
ROUTED = _network("plain", "br-plain", "10.5.0.0/24", options={options.MASQUERADE: "false"})


def _batch(*networks: Network) -> list[Any]:
    return [c for table in rules.tables("casemate", networks) for c in rules.replacement(table)]


@pytest.mark.parametrize(
    ("golden", "networks"),
    [
        ("none", [HOST, NONE]),
        ("default", [DEFAULT]),
        ("several", [ROUTED, INNER, HOST, DUAL, DEFAULT]),
    ],
)
def test_the_batch_is_the_golden_one(golden: str, networks: list[Network]) -> None:
    with open(os.path.join(_GOLDEN, f"{golden}.json"), encoding="utf-8") as file:
        assert _batch(*networks) == json.load(file)


def test_the_order_of_networks_does_not_matter() -> None:
    assert _batch(DEFAULT, DUAL, INNER) == _batch(INNER, DEFAULT, DUAL)


def test_nothing_is_flushed_and_only_our_tables_are_named() -> None:
    for command in _batch(DEFAULT, DUAL, INNER):
        ((verb, what),) = command.items()
        assert verb in ("add", "delete")
        ((kind, value),) = what.items()
        assert "casemate" == (value["name"] if kind == "table" else value["table"])
        assert verb == "add" or kind == "table"


def test_every_comment_is_the_only_one_of_its_chain_and_fits() -> None:
    for table in rules.tables("casemate", [DEFAULT, DUAL, INNER, ROUTED]):
        named = [(rule.chain, rule.comment) for rule in table.rules]
        assert len(set(named)) == len(named)
        assert all(0 < len(comment) <= 127 for _, comment in named)


def _listed(table: rules.Table) -> list[Any]:
    """Return what the kernel lists when ``table`` is in it."""
    return [
        {kind: value | {"handle": 1}}
        for command in rules.replacement(table)[2:]
        for kind, value in command["add"].items()
    ]


@pytest.mark.parametrize("networks", [[], [DEFAULT], [DEFAULT, DUAL, INNER, ROUTED]])
def test_what_was_written_does_not_differ(networks: list[Network]) -> None:
    for table in rules.tables("casemate", networks):
        assert differences(table, _listed(table)) == []


def test_what_differs_is_named() -> None:
    table = rules.tables("casemate", [DEFAULT])[0]
    listed = _listed(table)
    sets, chains, ruled = (
        [position for position, entry in enumerate(listed) if kind in entry]
        for kind in ("set", "chain", "rule")
    )
    assert differences(table, listed[: sets[0]] + listed[sets[0] + 1 :]) == ["set bridges differs"]
    assert differences(table, listed[: chains[0]] + listed[chains[0] + 1 :]) == [
        "chain forward differs"
    ]
    other_order = [*listed[:-2], listed[-1], listed[-2]]
    wrong = ["the rules are not ours, or in another order"]
    assert differences(table, other_order) == wrong
    assert differences(table, listed[: ruled[0]] + listed[ruled[0] + 1 :]) == wrong
    listed[ruled[2]]["rule"]["expr"][-1] = {"accept": None}
    assert differences(table, listed) == wrong


class _Deaf:
    """A kernel that takes everything and does nothing, or lacks something."""

    def __init__(self, error: OSError | None = None) -> None:
        self.error = error

    def execute(self, commands: Any) -> list[Any]:
        if self.error:
            raise self.error
        return []


def test_rules_that_do_not_hold_are_an_error() -> None:
    with pytest.raises(Internal, match="set bridges differs"):
        Firewall(_Deaf(), "casemate").apply([DEFAULT])


def test_a_kernel_that_lacks_an_expression_is_told_what_it_needs() -> None:
    lacking = OSError(95, "nftables: Could not process rule: Operation not supported")
    with pytest.raises(Unsupported, match="not supported") as caught:
        Firewall(_Deaf(lacking), "casemate").apply([DEFAULT])
    assert caught.value.hint is not None
    assert "CONFIG_NF_TABLES_INET" in caught.value.hint
