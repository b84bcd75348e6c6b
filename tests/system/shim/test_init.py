"""The optional first process: it reaps, forwards signals and passes exit codes on."""

from __future__ import annotations

import signal

import pytest

from support.shims import Lab, asynchronous, within

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
@asynchronous
async def test_the_workloads_exit_code_is_the_containers(lab: Lab, script: str, code: int) -> None:
    task = await lab.run("sh", "-c", script, init=True)
    assert (await within(task.exit())).code == code


@asynchronous
async def test_signals_are_forwarded(lab: Lab) -> None:
    script = "trap 'echo usr1' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    task, client = await lab.talk("sh", "-c", script, init=True)
    await client.until(b"ready")
    await task.shim.kill(0, signal.SIGUSR1)
    await client.until(b"usr1")
    await task.shim.kill(0, signal.SIGTERM)
    assert (await within(task.exit())).code == 9


@asynchronous
async def test_a_signal_that_the_workload_does_not_handle_ends_it(lab: Lab) -> None:
    task = await lab.run("sleep", "1000", init=True)
    await task.shim.kill(0, signal.SIGTERM)
    assert (await within(task.exit())).code == 143


@asynchronous
async def test_orphans_are_reaped(lab: Lab) -> None:
    script = (
        "for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.01 & sleep 0.01 &); done;"
        " while ps -o stat,comm | grep -q '[s]leep\\|^Z'; do :; done; echo clean; ps -o pid"
    )
    (lab.root / "bin" / "grep").symlink_to("busybox")
    _, client = await lab.talk("sh", "-c", script, init=True)
    out, _ = await within(client.rest())
    assert out.startswith(b"clean")
    assert len(out.split()) <= 6  # clean, a heading, init, sh, ps


@asynchronous
async def test_a_program_that_is_not_there_is_reported_from_behind_init(lab: Lab) -> None:
    with pytest.raises(Exception, match="missing: No such file"):
        await lab.run("missing", init=True)


@pytest.mark.parametrize("namespaces", [("mount",), ("mount", "pid")])
@asynchronous
async def test_init_and_workload_end_with_the_supervisor(
    lab: Lab, namespaces: tuple[str, ...]
) -> None:
    task = await lab.run("sleep", "1000", init=True, namespaces=namespaces)
    task.shim.kill_hard()
    await within(task.shim.gone)
