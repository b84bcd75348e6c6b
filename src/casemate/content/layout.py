"""Where things are in a content store; a digest's grammar makes it safe as a file name."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from casemate.errors import FailedPrecondition
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

ALGORITHMS = ("sha256", "sha512")


class Layout(NamedTuple):
    """The paths below ``root``."""

    root: str

    @property
    def leases(self) -> str:
        """Directory of the lease files."""
        return f"{self.root}/leases"

    @property
    def ingests(self) -> str:
        """Directory of what is being written."""
        return f"{self.root}/ingests"

    @property
    def quarantine(self) -> str:
        """Directory of what ``fsck`` took out of the way."""
        return f"{self.root}/quarantine"

    @property
    def gate(self) -> str:
        """Lock file: shared by those who lease, exclusive for the collector."""
        return f"{self.root}/collect.lock"

    def algorithm(self, name: str) -> str:
        """Directory of the blobs of one digest algorithm."""
        return f"{self.root}/blobs/{name}"

    def blob(self, digest: Digest) -> str:
        """File of the blob ``digest``. Raises InvalidArgument for what is not a digest."""
        algorithm, _, encoded = digests.parse(digest).partition(":")
        return f"{self.root}/blobs/{algorithm}/{encoded}"

    def partial(self, digest: Digest) -> str:
        """File of the unfinished blob ``digest``."""
        return f"{self.ingests}/{digests.parse(digest).replace(':', '-')}"

    def make(self) -> None:
        """Create the directories; the root is for its owner alone. Raises OSError."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        found = os.stat(self.root)
        if found.st_uid != os.geteuid():
            raise FailedPrecondition(
                f"cannot use the content store {self.root}: it belongs to uid {found.st_uid}"
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.chmod(self.root, 0o700)
        for path in (self.leases, self.ingests, self.quarantine):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for name in ALGORITHMS:
            os.makedirs(self.algorithm(name), mode=0o700, exist_ok=True)
