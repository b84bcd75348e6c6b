"""A process does not outlive the client that owns it, with or without an engine."""

from __future__ import annotations

import pytest

from casemate.runtime.plan import Stdio
from casemate.supervise import protocol
from support.shims import FRAMED, Client, Lab, asynchronous, within

pytestmark = pytest.mark.root

OWNER = FRAMED | protocol.ATTACH_OWNER
INPUT = Stdio(stdin=True, stdin_once=True)


def gone(client: Client) -> None:
    """Have the client vanish, with whatever it has not read."""
    client.close()


@asynchronous
async def test_a_process_ends_when_its_owner_is_gone(lab: Lab) -> None:
    task = await lab.room()
    owner, other = await task.attach(OWNER), await task.attach(FRAMED)
    await task.start("sleep", "1000", stdio=Stdio())
    gone(owner)
    assert (await within(task.exit())).code == 137
    assert await other.rest() == (b"", b"")


@asynchronous
async def test_it_goes_on_when_another_client_is_gone(lab: Lab) -> None:
    task = await lab.room()
    owner, other = await task.attach(OWNER), await task.attach(FRAMED & ~protocol.ATTACH_STDIN)
    await task.start("sh", "-c", "read line; exit 7", stdio=INPUT)
    gone(other)
    await task.shim.refresh()
    await owner.send(b"go\n")
    assert (await within(task.exit())).code == 7


@asynchronous
async def test_an_owner_that_only_ends_its_input_is_not_gone(lab: Lab) -> None:
    task = await lab.room()
    owner = await task.attach(OWNER)
    await task.start("sh", "-c", "cat; exit 5", stdio=INPUT)
    await owner.send(b"said")
    owner.half_close()
    assert await within(owner.rest()) == (b"said", b"")
    assert (await within(task.exit())).code == 5


@pytest.mark.parametrize("words", ["yes", "sleep 1000"])
@asynchronous
async def test_neither_output_nor_input_that_waits_hides_that_the_owner_is_gone(
    lab: Lab, words: str
) -> None:
    task = await lab.room()
    owner = await task.attach(OWNER)
    await task.start(*words.split(), stdio=INPUT)
    await owner.send(b"x" * 100_000)
    if words == "sleep 1000":
        owner.half_close()
    gone(owner)
    assert (await within(task.exit())).code == 137


@asynchronous
async def test_what_has_lost_its_owner_before_the_start_ends_at_once(lab: Lab) -> None:
    task = await lab.room()
    gone(await task.attach(OWNER))
    await task.start("sleep", "1000", stdio=Stdio())
    assert (await within(task.exit())).code == 137
