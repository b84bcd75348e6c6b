"""The small image can run what is run in it."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest
from bench import images, runtimes


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox is not installed")
def test_the_small_image_has_the_programs_that_are_measured(tmp_path: Path) -> None:
    archive = str(tmp_path / "busybox.tar")
    images.write_busybox(archive)
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
        assert tar.getmember("bin/busybox").uid == 0
    assert {"bin/true", "bin/sh", "bin/sleep", "etc/passwd"} <= names
    runtimes.unpack(archive, str(tmp_path / "root"))
    assert os.readlink(tmp_path / "root/bin/true") == "busybox"
