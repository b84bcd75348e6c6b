"""Plans that are wrong in any way end their room, and nothing else."""

from __future__ import annotations

import random

import pytest

from casemate.errors import Error
from casemate.runtime.plan import NO_STDIO, Plan, pack
from casemate.runtime.steps import Registers, Step, encode, step
from casemate.supervise.connection import Gone
from casemate.supervise.shim import StepFailed
from support.shims import ENV, Lab, asynchronous, rooted, within

pytestmark = pytest.mark.root

#: How a program ends in which a sanitizer has found something.
SANITIZER = 99


def harmless(dice: random.Random) -> list[Step]:
    """Return steps of which any part may be changed without harm, inside of a room."""
    choices = [
        step("umask", 0o22),
        step("chdir", "/tmp"),
        step("hostname", "box"),
        step("domainname", "example"),
        step("groups", bytes(8)),
        step("mask", "a", "/tmp", "b", "c"),
        step("symlink", "to", "a", "from"),
        step("close", "a"),
        step("fsopen", "a", "tmpfs"),
        step("fsconfig", "a", "size", "1k"),
        step("target", "b", "a", "/x/y", 0, 0o755),
        step("no_new_privs"),
        step("exec", ("true", "a", "b"), ENV),
    ]
    return dice.choices(choices, k=dice.randrange(1, 8))


def changed(dice: random.Random, data: bytes) -> bytes:
    """Return ``data`` with some bytes changed, lost or too many."""
    out = bytearray(data)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(out) + 1)
        piece = dice.choice([b"", bytes(1), b"\xff", b"\xff" * 8, dice.randbytes(4), bytes(8)])
        out[at : at + dice.choice([0, 1, 4, 8])] = piece
    return bytes(out)


@pytest.mark.parametrize("seed", range(12))
@asynchronous
async def test_a_plan_with_wrong_bytes_ends_its_room_only(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    entered = Plan((), ahead=(*rooted(lab.root, lab.mount_place), step("pivot", "root")))
    for _ in range(12):
        task = await lab.room()
        await task.shim.prepare(entered.ahead_file())
        steps = changed(dice, encode(harmless(dice), Registers()))
        descriptor = task.state_descriptor()
        try:
            await within(task.shim.start(pack(b"", steps, NO_STDIO), descriptor))
            ending = await within(task.exit())
            assert ending.code in (0, 125)
        except (StepFailed, Gone) as error:
            assert not isinstance(error, StepFailed) or error.code != SANITIZER
        await within(task.shim.gone)


@pytest.mark.parametrize("seed", range(8))
@asynchronous
async def test_a_plan_file_with_wrong_bytes_is_refused_by_a_supervisor(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    task = await lab.run("sleep", "1000")
    good = task.exec_plan("true").whole_file()
    for _ in range(40):
        number = task.next()
        header = changed(dice, good[:32])
        try:
            await within(task.shim.execute(number, header + good[32:]))
            await within(task.exit(number))
        except Error:
            pass
    number = await task.execute("true")
    assert (await within(task.exit(number))).code == 0
