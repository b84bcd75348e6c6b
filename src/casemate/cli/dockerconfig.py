"""Docker's config.json, which this command shares: formats, detach keys, proxies, credentials.

What we do not know in it is kept when it is written. Source: docker/cli, config file reference.
"""

from __future__ import annotations

import os

from casemate.cli import jsontext
from casemate.cli.newfile import NewFile
from casemate.errors import InvalidArgument, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MAX_BYTES = 1 << 20
_PROXIES = {
    "HTTP_PROXY": "httpProxy",
    "HTTPS_PROXY": "httpsProxy",
    "NO_PROXY": "noProxy",
    "FTP_PROXY": "ftpProxy",
    "ALL_PROXY": "allProxy",
}


def config_directory(option: str, environ: Mapping[str, str]) -> str:
    """Return the directory of config.json: ``--config``, else DOCKER_CONFIG, else ~/.docker."""
    return option or environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")


class DockerConfig:
    """The content of config.json in ``directory``; a missing file is an empty one."""

    def __init__(self, directory: str) -> None:
        """Raises InvalidArgument when the file cannot be read or is not a JSON object."""
        self.path = f"{directory}/config.json"
        try:
            with open(self.path, "rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            data = b"{}"
        except OSError as error:
            raise from_os(error, "cannot read docker's config.json") from error
        if len(data) > _MAX_BYTES:
            raise InvalidArgument(f"{self.path}: larger than {_MAX_BYTES} bytes")
        try:
            self.content: dict[str, Any] = jsontext.loads(data or b"{}")
        except ValueError as error:
            raise InvalidArgument(f"{self.path}: {error}") from None
        if not isinstance(self.content, dict):
            raise InvalidArgument(f"{self.path}: not a JSON object")

    def text(self, key: str) -> str:
        """Return a text of the file, "" when it is absent."""
        found = self.content.get(key, "")
        if not isinstance(found, str):
            raise InvalidArgument(f"{self.path}: {key} is not a string")
        return found

    def table(self, key: str) -> dict[str, Any]:
        """Return an object of the file, empty when it is absent."""
        found = self.content.get(key) or {}
        if not isinstance(found, dict):
            raise InvalidArgument(f"{self.path}: {key} is not an object")
        return found

    def prune_filters(self) -> list[tuple[str, str]]:
        """Return the filters that every prune uses."""
        entries = self.content.get("pruneFilters") or []
        if not isinstance(entries, list):
            raise InvalidArgument(f"{self.path}: pruneFilters is not a list")
        pairs = (str(entry).partition("=") for entry in entries)
        return [(name, value) for name, equals, value in pairs if equals]

    def proxies(self, address: str) -> dict[str, str]:
        """Return the proxy variables that containers of the engine at ``address`` get."""
        tables = self.table("proxies")
        if not tables:
            return {}
        chosen = tables.get(address, tables.get("default")) or {}
        if not isinstance(chosen, dict):
            raise InvalidArgument(f"{self.path}: an entry of proxies is not an object")
        return {name: str(chosen[key]) for name, key in _PROXIES.items() if chosen.get(key)}

    def save(self) -> None:
        """Replace the file, for its owner's eyes only. Raises the Error that fits."""
        directory, name = os.path.split(os.path.realpath(self.path))
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise from_os(error, f"cannot write {self.path}") from error
        with NewFile(f"{directory}/{name}") as file:
            file.write(jsontext.dumps(self.content, "\t").encode())
