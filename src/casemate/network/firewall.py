"""Puts the rules of ``rules`` into the kernel, reads them back, and takes them away.

Nobody else's table is ever touched. Both tables are replaced in one transaction: there is no
instant without rules.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from casemate.errors import Internal, Unsupported, from_os
from casemate.linux.nftables import Command, Nftables
from casemate.network.model import Network
from casemate.network.rules import Chain, Set, Table, replacement, tables


class Firewall:
    """The tables of one engine, by its name."""

    def __init__(self, nftables: Nftables, name: str) -> None:
        """Work through ``nftables`` on the tables called ``name``."""
        self._nftables = nftables
        self._name = name

    def apply(self, networks: Iterable[Network]) -> None:
        """Replace the rules by those that ``networks`` need, and read them back.

        Raises Unsupported when this kernel lacks an expression, Internal when what is read back
        differs from what was written.
        """
        wanted = tables(self._name, networks)
        commands = [command for table in wanted for command in replacement(table)]
        try:
            self._nftables.execute(commands)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise Unsupported(
                    f"cannot set up the firewall: {error.strerror}",
                    hint="the kernel needs CONFIG_NF_TABLES_INET, NF_TABLES_BRIDGE, NFT_CT,"
                    " NFT_MASQ and NFT_FIB_INET",
                ) from error
            raise from_os(error, "cannot set up the firewall") from error
        wrong = self._differences(wanted)
        if wrong:
            raise Internal(f"cannot set up the firewall: {'; '.join(wrong)}")

    def verify(self, networks: Iterable[Network]) -> list[str]:
        """Return how the kernel's rules differ from what ``networks`` need; [] when they do not.

        Sets are compared element by element; rules by chain, order, comment and verdict, because
        every version of nftables writes the same expression a little differently.
        """
        return self._differences(tables(self._name, networks))

    def remove(self) -> None:
        """Take the rules away; none there is no error."""
        for table in tables(self._name, ()):
            place = {"table": {"family": table.family, "name": table.name}}
            try:
                self._nftables.execute([{"add": place}, {"delete": place}])
            except OSError as error:
                raise from_os(error, "cannot remove the firewall's rules") from error

    def _differences(self, wanted: Iterable[Table]) -> list[str]:
        found = []
        for table in wanted:
            where = f"table {table.family} {table.name}"
            place = {"family": table.family, "name": table.name}
            try:
                listed = self._nftables.execute([{"list": {"table": place}}])
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise from_os(error, f"cannot read {where}") from error
                found.append(f"{where} is missing")
                continue
            found += [f"{where}: {text}" for text in differences(table, listed)]
        return found


def differences(table: Table, listed: Iterable[Command]) -> list[str]:
    """Return how the objects that nftables lists differ from ``table``, in words."""
    objects = [pair for entry in listed for pair in entry.items()]
    sets = {one["name"]: _elements(one) for kind, one in objects if kind == "set"}
    chains = {one["name"]: _chain(one) for kind, one in objects if kind == "chain"}
    rules = [
        (one["chain"], one.get("comment", ""), _verdict(one["expr"]))
        for kind, one in objects
        if kind == "rule"
    ]
    wanted_rules = [(one.chain, one.comment, _verdict(one.expression)) for one in table.rules]
    return [
        *_compare("set", {one.name: _wanted_elements(one) for one in table.sets}, sets),
        *_compare("chain", {one.name: one for one in table.chains}, chains),
        *(["the rules are not ours, or in another order"] if rules != wanted_rules else []),
    ]


def _compare(what: str, wanted: dict[str, object], found: dict[str, object]) -> list[str]:
    names = sorted(wanted.keys() | found.keys())
    return [f"{what} {one} differs" for one in names if wanted.get(one) != found.get(one)]


def _wanted_elements(one: Set) -> object:
    return frozenset(one.elements)


def _elements(listed: Command) -> object:
    return frozenset(
        tuple(item["concat"]) if isinstance(item, dict) else (item,)
        for item in listed.get("elem", ())
    )


def _chain(listed: Command) -> object:
    keys = ("name", "type", "hook", "prio")
    if listed.get("policy") != "accept" or not all(key in listed for key in keys):
        return "a chain that is not ours"
    return Chain(*(listed[key] for key in keys))


def _verdict(expression: Iterable[Command]) -> str:
    last = list(expression)[-1:]
    return next(iter(last[0]), "") if last else ""
