"""Where an engine keeps things: values handed in, so that many engines can run side by side."""

from __future__ import annotations

import os
from typing import NamedTuple

from casemate.errors import from_os


class Paths(NamedTuple):
    """``root`` survives a reboot, ``run`` does not."""

    root: str
    run: str

    @property
    def socket(self) -> str:
        """The unix socket of the API."""
        return f"{self.run}/casemate.sock"

    @property
    def lock(self) -> str:
        """Held by the one engine of this run directory; holds its pid."""
        return f"{self.run}/engine.lock"

    @property
    def root_lock(self) -> str:
        """Held by the one engine of this root."""
        return f"{self.root}/lock"

    @property
    def database(self) -> str:
        """The database file."""
        return f"{self.root}/state.db"

    @property
    def boot(self) -> str:
        """Which start of the machine the last engine has seen."""
        return f"{self.root}/boot"

    @property
    def room(self) -> str:
        """An empty directory where each room mounts its own root, unseen by the others."""
        return f"{self.run}/room"

    def container(self, id_: str) -> str:
        """The state directory of a container: log, exit status, files that are mounted into it."""
        return f"{self.root}/containers/{id_}"

    @property
    def volumes(self) -> str:
        """A directory for each volume."""
        return f"{self.root}/volumes"

    @property
    def trash(self) -> str:
        """State directories of containers that are gone, until they are removed."""
        return f"{self.root}/trash"

    def make(self) -> None:
        """Make the directories; nobody but their owner may enter. Raises Error."""
        try:
            below = (f"{self.root}/containers", self.volumes, self.trash, self.room)
            for path in (self.root, self.run, *below):
                os.makedirs(path, 0o700, exist_ok=True)
            os.chmod(self.root, 0o700)
            os.chmod(self.run, 0o711)  # the socket's own mode says who may connect
        except OSError as error:
            raise from_os(error, "cannot make the engine's directories") from error
