"""A process by its descriptor."""

from __future__ import annotations

import os
import subprocess

from casemate.linux import pidfd


def test_a_process_has_ended_before_anybody_waits_for_it() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        descriptor = os.pidfd_open(process.pid)
        try:
            assert not pidfd.has_ended(descriptor)
            assert process.stdin
            process.stdin.close()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert pidfd.has_ended(descriptor)
        finally:
            os.close(descriptor)
