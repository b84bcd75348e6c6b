"""The cgroups of this machine, as they are mounted, and each version for itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from casemate.errors import (
    NotFound,
)
from casemate.linux.cgroups import cgroup, layout
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.cgroups import (
    BASE,
)


@pytest.fixture(params=["mounted", "v1", "v2"])
def hierarchies(request: pytest.FixtureRequest) -> Iterator[Hierarchies]:
    found = layout.detect()
    if request.param != "mounted":
        if found.mode != "hybrid":
            pytest.skip(f"this machine has {found.mode} alone, tested as mounted")
        version = int(request.param[1])
        chosen = tuple(h for h in found.hierarchies if h.version == version)
        found = found._replace(hierarchies=chosen)
    opened = Hierarchies(found)
    try:
        yield opened
    finally:
        top = cgroup.at(opened, BASE)
        with contextlib.suppress(NotFound):
            top.kill()
        top.delete()
        opened.close()


@pytest.fixture
def group(hierarchies: Hierarchies) -> Cgroup:
    made = cgroup.at(hierarchies, f"{BASE}/room")
    made.create()
    return made
