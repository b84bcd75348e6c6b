"""The containers of an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Unpack

from casemate.client import values
from casemate.client.connections import Connections
from casemate.client.container import Container
from casemate.client.options import Options, body_of
from casemate.client.target import path_of


class Containers:
    """The containers of an engine. Every method raises the Error of the engine."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def list(self, *, all: bool = False, labels: Mapping[str, str] = {}) -> list[Container]:
        """Return the containers that run, or ``all``; with ``labels`` only those that have them."""
        wanted = [f"{name}={value}" for name, value in values.pairs("labels", labels).items()]
        query = path_of(
            "containers",
            "json",
            all="1" if all else "",
            filters=json.dumps({"label": wanted}) if wanted else "",
        )
        found = self._connections.call("GET", query)
        return [Container(self._connections, item["Id"]) for item in found]

    def get(self, name: str) -> Container:
        """Return a container by its name or id. Raises NotFound."""
        found = self._connections.call("GET", path_of("containers", name, "json"))
        return Container(self._connections, found["Id"])

    def create(
        self, image: str, command: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> Container:
        """Create a container that nobody owns: it stays until somebody removes it."""
        body = body_of(image, command, options)
        name = values.text("name", options.get("name", ""))
        created = self._connections.call("POST", path_of("containers", "create", name=name), body)
        return Container(self._connections, created["Id"])
