from __future__ import annotations

from pathlib import Path

import pytest

from casemate.content.store import ContentStore


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(str(tmp_path / "content"))
