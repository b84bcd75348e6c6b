"""A supervisor is small, and stays small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from casemate.runtime.plan import Plan, Stdio
from support.shims import Lab, asynchronous

pytestmark = pytest.mark.root


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size: shared pages count in part."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    assert found
    return int(found[1]) * 1024


@asynchronous
async def test_a_supervisor_takes_at_most_200_kB(lab: Lab) -> None:
    if lab.sanitized:
        pytest.skip("this shim was built with sanitizers")
    first = await lab.run("sleep", "1000")
    alone = proportional_bytes(first.shim.pid)
    tasks = [await lab.run("seq", "1", "20000") for _ in range(3)]
    tasks += [await lab.run("cat", stdio=Stdio(stdin=True)) for _ in range(10)]
    task = tasks[-1]
    await task.shim.nursery(Plan(()).whole_file())
    for _ in range(100):
        number = await task.execute("true")
        await task.exit(number)
        await task.shim.forget(number)
    together = proportional_bytes(task.shim.pid)
    print(f"alone {alone} bytes, among ten {together} bytes")
    assert alone < 200_000
    assert together < 200_000
