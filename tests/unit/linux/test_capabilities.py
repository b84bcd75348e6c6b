from __future__ import annotations

import os
from pathlib import Path

import pytest

from casemate.linux import capabilities


def test_names_stand_at_their_bits() -> None:
    assert len(capabilities.NAMES) == 41
    for name, bit in {
        "CAP_CHOWN": 0,
        "CAP_SETPCAP": 8,
        "CAP_NET_BIND_SERVICE": 10,
        "CAP_SYS_ADMIN": 21,
        "CAP_SYS_RESOURCE": 24,
        "CAP_SETFCAP": 31,
        "CAP_AUDIT_READ": 37,
        "CAP_CHECKPOINT_RESTORE": 40,
    }.items():
        assert capabilities.NAMES[bit] == name
        assert capabilities.mask([name]) == 1 << bit


def test_names_and_bits_are_each_others_inverse() -> None:
    assert capabilities.names(capabilities.mask(capabilities.NAMES)) == capabilities.NAMES
    assert capabilities.names(0) == ()
    assert capabilities.names(1 << 21 | 1 << 63) == ("CAP_SYS_ADMIN",)
    with pytest.raises(KeyError):
        capabilities.mask(["SYS_ADMIN"])


def test_what_the_kernel_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/cap_last_cap").write_text("40\n")
    (tmp_path / "thread-self").mkdir()
    status = tmp_path / "thread-self/status"
    status.write_text(
        "Name:\tx\nCapInh:\t0000\nCapEff:\t0000000000000021\nCapBnd:\t000001fffeffffff\n"
    )
    assert capabilities.last(str(tmp_path)) == 40
    assert capabilities.names(capabilities.effective(str(tmp_path))) == ("CAP_CHOWN", "CAP_KILL")
    assert "CAP_SYS_RESOURCE" not in capabilities.names(capabilities.bounding(str(tmp_path)))
    status.write_text("Name:\tx\n")
    with pytest.raises(OSError, match="has no line CapBnd:"):
        capabilities.bounding(str(tmp_path))


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/status"), reason="no /proc here")
def test_this_machine_answers() -> None:
    assert capabilities.last() >= 37
    assert capabilities.effective() & ~capabilities.bounding() == 0 or os.geteuid()
