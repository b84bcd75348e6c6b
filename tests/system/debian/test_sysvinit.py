"""sysvinit as Debian ships it, and roots of LXC and OpenVZ with it: imported, booted, stopped."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import CASEMATE
from support.engine import RunningEngine, eventually
from support.lives import reaches, restarts

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

SYSTEM = {"SecurityOpt": ["system=sysvinit"]}
#: How LXC's templates have the init shut down: on a signal of its own.
POWER_FAILURE = "p0::powerfail:/sbin/init 0\n"
_ACL = b"\2\0\0\0" + b"".join(
    tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, bits, who in (
        *((1, 6, 0xFFFFFFFF), (2, 4, 4242), (4, 4, 0xFFFFFFFF)),
        *((16, 4, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)),
    )
)
#: What no boot needs: packing it takes longer than all the rest.
_BULK = (
    *(f"usr/share/{name}" for name in ("doc", "i18n", "locale", "man", "perl", "zoneinfo")),
    *("usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/perl", "var/cache"),
    *("var/lib/apt", "var/lib/dpkg"),
)
_METADATA = """architecture: x86_64
creation_date: 1767225600
properties:
  description: Debian bookworm, of packages
  os: Debian
templates:
  /etc/hostname:
    when: [create, copy]
    template: hostname.tpl
"""


def boot(engine: RunningEngine, image: str = "sysvinit", **more: Any) -> str:
    id_ = engine.run_container(image, **SYSTEM, **more)
    booted(engine, id_)
    return id_


def booted(engine: RunningEngine, id_: str) -> None:
    """Wait until the second runlevel has been reached and its services run."""
    look = "runlevel | grep -q ' 2$' && cat /run/nginx.pid && ! pgrep startpar"
    eventually(lambda: engine.exec(id_, "sh", "-c", look).code, lambda code: code == 0)


def test_it_boots_and_stops_in_order(debian: RunningEngine) -> None:
    id_ = boot(debian)
    debian.client.post(f"/containers/{id_}/stop")
    # Debian's way to the end by a signal is that of Ctrl-Alt-Del.
    assert debian.inspect(id_)["State"]["ExitCode"] == 129
    debian.start_container(id_)
    booted(debian, id_)
    debian.exec(id_, "reboot")
    restarts(debian, id_, 1)
    reaches(debian, id_, "running")
    booted(debian, id_)
    debian.exec(id_, "poweroff")
    assert debian.wait(id_) == 130


@pytest.fixture
def tree(debian: RunningEngine, disk: Path) -> Iterator[Path]:
    """The root of the image, unpacked, with what roots of other systems have in them."""
    root = disk / "rootfs"
    root.mkdir()
    id_ = debian.create("sysvinit")
    with debian.client.request("GET", f"/containers/{id_}/export") as reply:
        unpack = ["tar", "-C", str(root), "--numeric-owner", "-xf", "-"]
        unpack += [f"--exclude={path}" for path in _BULK]
        subprocess.run(unpack, input=reply.read(), check=True)
    debian.client.call("DELETE", f"/containers/{id_}")
    os.mknod(root / "dev/loop0", stat.S_IFBLK | 0o660, os.makedev(7, 0))
    os.mknod(root / "dev/kmsg", stat.S_IFCHR | 0o644, os.makedev(1, 11))
    with open(root / "var/log/lastlog", "wb") as file:
        file.truncate(32 << 20)
        file.seek(16 << 20)
        file.write(b"x" * 4096)
    mine = root / "srv/mine"
    mine.write_bytes(b"mine\n")
    os.chown(mine, 4242, 4243)
    os.setxattr(mine, "user.note", b"kept")
    os.setxattr(mine, "system.posix_acl_access", _ACL)
    with open(root / "etc/inittab", "a", encoding="ascii") as inittab:
        inittab.write(POWER_FAILURE)
    yield root


def pack(tree: Path, *what: str, through: str, made: Path) -> Path:
    """Pack ``what`` of a directory as the makers of such images do."""
    words = ["tar", "--numeric-owner", "--xattrs", "--acls", "-S", "-C", str(tree)]
    words += ["-I", through, "-cf", str(made), *what]
    subprocess.run(words, check=True)
    return made


def imported(engine: RunningEngine, archive: Path, *words: str) -> None:
    command = [*CASEMATE, "-H", f"unix://{engine.socket}", "import", *words]
    command += ["-c", 'CMD ["/sbin/init"]', str(archive), "made"]
    subprocess.run(command, check=True, capture_output=True)


def holds_it_all(engine: RunningEngine, id_: str) -> None:
    """Check what is easily lost on the way."""
    root = f"/proc/{engine.inspect(id_)['State']['Pid']}/root"
    mine = f"{root}/srv/mine"
    assert (os.stat(mine).st_uid, os.stat(mine).st_gid) == (4242, 4243)
    assert os.getxattr(mine, "user.note") == b"kept"
    assert os.getxattr(mine, "system.posix_acl_access") == _ACL
    sparse = f"{root}/var/log/lastlog"
    assert os.stat(sparse).st_size == 32 << 20
    with open(sparse, "rb") as file:
        assert file.read(16 << 20).count(0) == 16 << 20
        assert file.read(8192) == b"x" * 4096 + bytes(4096)
    # The image's device nodes are not those of the container.
    assert not os.path.exists(f"{root}/dev/loop0") and not os.path.exists(f"{root}/dev/kmsg")


def test_a_template_of_openvz(debian: RunningEngine, tree: Path) -> None:
    imported(debian, pack(tree, "./", through="gzip -1", made=tree.parent / "root.tar.gz"))
    id_ = boot(debian, "made")
    holds_it_all(debian, id_)
    debian.client.post(f"/containers/{id_}/stop")
    assert debian.inspect(id_)["State"]["ExitCode"] == 129


def test_an_image_of_lxc(debian: RunningEngine, tree: Path) -> None:
    # Incus has both in one; "meta.tar.xz" and "rootfs.tar.xz" are the same parts, one by one.
    above = tree.parent
    (above / "metadata.yaml").write_text(_METADATA)
    (above / "templates").mkdir()
    (above / "templates/hostname.tpl").write_text("{{ container.name }}\n")
    parts = ("metadata.yaml", "rootfs", "templates")
    archive = pack(above, *parts, through="xz -0 -T2", made=above / "image.tar.xz")
    imported(debian, archive, "--directory", "rootfs")
    id_ = boot(debian, "made")
    holds_it_all(debian, id_)
    assert debian.exec(id_, "ls", "/metadata.yaml").code != 0
    debian.client.post(f"/containers/{id_}/stop?signal=PWR")
    assert debian.inspect(id_)["State"]["ExitCode"] == 130
