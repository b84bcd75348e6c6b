"""Devices: the rules of a cgroup, and of those above."""

from __future__ import annotations

import errno
import os

import pytest

from casemate.errors import (
    PermissionDenied,
)
from casemate.linux.cgroups import cgroup
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.linux.cgroups.values import DeviceRule, Limits
from casemate.oci.runtime import Resources
from casemate.walls import devices, resources
from support.cgroups import (
    BASE,
    output,
    running,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups are made by root"),
]

CONTAINER_RULES = resources.limits(Resources(devices=devices.RULES)).devices


def test_only_the_devices_of_the_rules_open(group: Cgroup) -> None:
    group.apply(Limits(devices=CONTAINER_RULES))
    group.apply(Limits(devices=CONTAINER_RULES))
    code = """
import stat
def tried(path):
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
        return 0
    except OSError as error:
        return error.errno
def made(kind, major, minor):
    path = '/tmp/casemate-device-%d' % os.getpid()
    try:
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        error = tried(path)
        os.unlink(path)
        return error
    except OSError as error:
        return -error.errno
print(tried('/dev/null'), tried('/dev/zero'), made(stat.S_IFCHR, 1, 7),
      made(stat.S_IFCHR, 1, 1), made(stat.S_IFBLK, 7, 0), made(stat.S_IFCHR, 10, 229))
"""
    denied = errno.EPERM
    assert output(group, code).split() == [b"%d" % n for n in (0, 0, 0, denied, denied, denied)]
    group.apply(Limits(devices=(DeviceRule(False), DeviceRule(True, "c", 1, 3, "rw"))))
    expected = (0, denied, -denied, -denied, -denied, -denied)
    assert output(group, code).split() == [b"%d" % n for n in expected]
    group.apply(Limits(devices=(DeviceRule(True),)))
    assert output(group, code).split()[:3] == [b"0", b"0", b"0"]


def test_the_cgroup_above_keeps_its_say_about_devices(hierarchies: Hierarchies) -> None:
    above = cgroup.at(hierarchies, BASE)
    above.create()
    above.apply(Limits(devices=(DeviceRule(False), DeviceRule(True, "c", 1, 3))))
    below = cgroup.at(hierarchies, f"{BASE}/room")
    below.create()
    if hierarchies.find("devices", ""):
        with pytest.raises(PermissionDenied, match=r"cannot set devices\.allow of cgroup"):
            below.apply(Limits(devices=(DeviceRule(True),)))
    else:
        below.apply(Limits(devices=(DeviceRule(True),)))
    code = "os.open('/dev/null', os.O_RDONLY); os.open('/dev/zero', os.O_RDONLY); print('open')"
    with running(below, code) as process:
        assert process.wait(30) == 1
