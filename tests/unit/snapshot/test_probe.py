"""Whether a machine can mount layers is tried, and the attempt leaves nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from casemate.linux import mount
from casemate.snapshot import probe

_PROBES = [probe.why_not_erofs, probe.why_not_directories]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("why_not", _PROBES)
def test_an_attempt_leaves_nothing_whatever_its_outcome(
    why_not: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "with:colon,comma\\and blank"
    odd.mkdir()
    before = mount.mounts()
    first = why_not(str(odd))

    def refused(*_: object) -> None:
        raise OSError(errno.ENODEV, "no such file system here", "overlay")

    monkeypatch.setattr(probe.mount, "mount", refused)
    second = why_not(str(odd))
    assert first is None or first
    assert second is not None
    assert "no such file system here" in second
    assert mount.mounts() == before
    assert os.listdir(odd) == ["probe"]
    assert os.listdir(odd / "probe") == []


@pytest.mark.parametrize("why_not", _PROBES)
def test_without_privilege_the_reason_is_told(
    why_not: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise PermissionError(errno.EPERM, "unshare: Operation not permitted")

    monkeypatch.setattr(probe.mount, "enter_private_namespace", refused)
    assert "not permitted" in str(why_not(str(tmp_path)))


@pytest.mark.parametrize("why_not", _PROBES)
def test_a_place_that_cannot_be_written_is_a_reason(why_not: object, tmp_path: Path) -> None:
    (tmp_path / "probe").write_text("")
    assert why_not(str(tmp_path))
