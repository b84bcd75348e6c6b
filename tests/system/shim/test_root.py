"""The root file system's steps on the real kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casemate.linux.mount import AT_EMPTY_PATH, OPEN_TREE_CLONE
from casemate.runtime.namespaces import root as roots
from casemate.runtime.plan import Plan
from casemate.runtime.steps import Step, step
from casemate.snapshot.mounts import RootMount
from casemate.supervise.shim import StepFailed
from support.shims import ENV, OUTPUT, Lab, asynchronous, within

pytestmark = pytest.mark.root

NAMES = ["plain", "a:b", "a,b", "a\\b", "a b", "a=b", "a:b,c\\d e", "\\134x", "ä"]


def layered(place: Path) -> RootMount:
    """Return a root of two layers and a writable one below ``place``."""
    for name in ("one", "two", "upper", "work"):
        (place / name).mkdir(parents=True)
        (place / name / f"in_{name}").touch() if name in ("one", "two") else None
    lower = (str(place / "one"), str(place / "two"))
    return RootMount(lower, str(place / "upper"), str(place / "work"))


def listing(lab: Lab, root: RootMount, *, new_api: bool, readonly: bool = False) -> Plan:
    """Return a plan that lists the root, with a program that is bound into it."""
    return Plan(
        (
            step("umask", 0),
            *roots.mounted(root, str(lab.mount_place), new_api=new_api),
            *program(lab),
            *roots.entered(readonly=readonly),
            step("exec", ("/busybox", "sh", "-c", "cd /; echo *; echo x > new && echo *"), ENV),
        )
    )


def program(lab: Lab) -> tuple[Step, ...]:
    """Return the steps that bind busybox to /busybox."""
    return (
        step("open", "source", str(lab.root / "bin" / "busybox"), os.O_PATH),
        step("open_tree", "box", "source", "", OPEN_TREE_CLONE | AT_EMPTY_PATH),
        step("target", "place", "root", "/busybox", 1, 0o755),
        step("move_mount", "box", "place"),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("new_api", [True, False])
@asynchronous
async def test_directories_may_have_any_name(lab: Lab, name: str, new_api: bool) -> None:
    root = layered(lab.place / name)
    task = await lab.room()
    client = await task.attach(OUTPUT)
    await task.start_plan(listing(lab, root, new_api=new_api))
    out, _ = await within(client.rest())
    assert out == b"busybox in_one in_two\nbusybox in_one in_two new\n"
    assert sorted(os.listdir(root.upper or "")) == ["busybox", "new"]


@pytest.mark.parametrize("new_api", [True, False])
@asynchronous
async def test_a_root_can_be_read_only(lab: Lab, new_api: bool) -> None:
    root = layered(lab.place / "layers")
    task = await lab.room()
    client = await task.attach(OUTPUT)
    await task.start_plan(listing(lab, root, new_api=new_api, readonly=True))
    out, err = await within(client.rest())
    assert out == b"busybox in_one in_two\nsh: can't create new: Read-only file system\n"
    assert not err


@asynchronous
async def test_nothing_that_is_mounted_inside_is_seen_outside(lab: Lab) -> None:
    def mounts() -> str:
        return Path("/proc/self/mountinfo").read_text()

    before = mounts()
    task = await lab.room()
    client = await task.attach(OUTPUT)
    await task.start_plan(listing(lab, layered(lab.place / "layers"), new_api=True))
    await client.until(b"busybox")
    assert str(lab.mount_place) not in mounts().replace(before, "")
    await within(client.rest())


@asynchronous
async def test_a_layer_that_is_not_there_is_named(lab: Lab) -> None:
    root = layered(lab.place / "layers")._replace(lower=("/no/such", "/layer"))
    task = await lab.room()
    with pytest.raises(StepFailed, match="No such file") as caught:
        await task.start_plan(listing(lab, root, new_api=True))
    assert caught.value.about == "lowerdir+"
