"""This machine's apt sources, as far as they are for one Debian suite.

Both forms are read: lines (``deb [options] URI suite component…``) and deb822 stanzas.
Source: man 5 sources.list.
"""

from __future__ import annotations

import os

from casemate.cli.failure import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = "/etc/apt"
_BELONGING = ("", "-updates", "-security", "/updates")
_MAX_BYTES = 1 << 20


class Source:
    """One source: where, which suite and components, and what its signatures are checked with."""

    __slots__ = ("components", "signed_by", "suite", "uri")

    def __init__(self, uri: str, suite: str, components: list[str], signed_by: str) -> None:
        self.uri = uri
        self.suite = suite
        self.components = components
        self.signed_by = signed_by

    @property
    def line(self) -> str:
        """The source as a line."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"


def lines_for(suite: str, directory: str = _DIRECTORY) -> list[str]:
    """Return the sources of ``suite`` with its updates; those of other suites tell the mirror.

    Raises Exit when this machine knows no Debian mirror.
    """
    known = list(_all(directory))
    wanted = {suite + ending for ending in _BELONGING}
    found = [source.line for source in known if source.suite in wanted]
    if any(source.suite == suite for source in known):
        return found
    mirror = next((s for s in known if s.uri.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        raise Exit(
            1,
            f"cannot bootstrap debian:{suite}: no Debian mirror in {directory}",
            hint="give one with --mirror URL",
        )
    return [Source(mirror.uri, suite, ["main"], mirror.signed_by).line]


def _all(directory: str) -> Iterator[Source]:
    parts = f"{directory}/sources.list.d"
    try:
        names = sorted(os.listdir(parts))
    except OSError:
        names = []
    for path in [f"{directory}/sources.list", *(f"{parts}/{name}" for name in names)]:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read(_MAX_BYTES)
        except OSError:
            continue
        if path.endswith(".list"):
            yield from _from_lines(text)
        elif path.endswith(".sources"):
            yield from _from_stanzas(text)


def _from_lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        signed_by = ""
        if len(words) > 1 and words[1].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), len(words))
            for option in " ".join(words[1 : end + 1]).strip("[] ").split():
                name, _, value = option.partition("=")
                signed_by = value if name.lower() == "signed-by" else signed_by
            words = ["deb", *words[end + 1 :]]
        if len(words) > 3:
            yield Source(words[1], words[2], words[3:], signed_by)


def _from_stanzas(text: str) -> Iterator[Source]:
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = fields.get(name, "") + "\n" + line.strip()
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled") == "no":
            continue
        key = fields.get("signed-by", "")
        signed_by = key if key.startswith("/") and "\n" not in key else ""
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, fields.get("components", "").split(), signed_by)
