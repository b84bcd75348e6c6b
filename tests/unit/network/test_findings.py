"""What is said about a host's firewall, from what it lists."""

from __future__ import annotations

from typing import Any

import pytest

from casemate.errors import Error
from casemate.linux import sysctl
from casemate.network import findings, subnets
from casemate.network.model import HOST, Network

NETWORK = Network("1", "web", "bridge", (subnets.parse("10.0.0.0/24"),), bridge="br-web", mtu=1500)


class _Host:
    """A host with one forward chain and some rules."""

    def __init__(self, policy: str = "drop", family: str = "ip", rules: Any = ()) -> None:
        self.chain = {
            "family": family,
            "table": "filter",
            "name": "FORWARD",
            "hook": "forward",
            "policy": policy,
        }
        self.rules = rules

    def execute(self, commands: Any) -> list[Any]:
        if commands == [{"list": {"chains": {}}}]:
            return [{"chain": self.chain}, {"chain": {"family": "ip", "table": "t", "name": "c"}}]
        return [{"rule": {"expr": list(self.rules)}}]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the kernel's settings, all turned on."""
    values: dict[str, str] = {}
    monkeypatch.setattr(sysctl, "read", lambda key: values.get(key, "1"))
    monkeypatch.setattr(findings, "_LEGACY", "/nowhere")
    return values


def _found(host: _Host, *networks: Network, own: str = "casemate") -> list[str]:
    return [one.message for one in findings.findings(host, networks, own)]


def test_a_chain_that_drops_and_does_not_know_the_bridge_is_named() -> None:
    (message,) = _found(_Host(), NETWORK)
    assert "network web" in message
    assert "ip filter FORWARD drops" in message


def test_a_chain_that_knows_the_bridge_is_trusted() -> None:
    rules = [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "br-web"}}]
    assert _found(_Host(rules=rules), NETWORK) == []


def test_a_chain_for_the_other_version_or_of_our_own_does_not_matter() -> None:
    assert _found(_Host(family="ip6"), NETWORK) == []
    assert len(_found(_Host(family="inet"), NETWORK, own="filter")) == 1  # only the open router


def test_an_open_router_is_told() -> None:
    (message,) = _found(_Host(policy="accept"), NETWORK)
    assert "forwards between all its interfaces" in message


def test_forwarding_that_is_off_is_told(settings: dict[str, str]) -> None:
    settings["net/ipv4/ip_forward"] = "0"
    assert any("net.ipv4.ip_forward is 0" in one for one in _found(_Host(), NETWORK))


def test_legacy_rules_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    names = f"{tmp_path}/names"
    monkeypatch.setattr(findings, "_LEGACY", names)
    for text, count in (("nat\n", 1), ("nat\nfilter\n", 2)):
        with open(names, "w") as file:
            file.write(text)
        assert len(_found(_Host(), NETWORK)) == count


def test_a_host_without_such_networks_is_not_looked_at() -> None:
    assert _found(_Host(), HOST) == []


def test_rules_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    host = _Host()

    def refuse(commands: Any) -> list[Any]:
        raise OSError(1, "nftables: Operation not permitted")

    monkeypatch.setattr(host, "execute", refuse)
    with pytest.raises(Error, match="cannot read the host's firewall"):
        _found(host, NETWORK)
