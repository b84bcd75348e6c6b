"""What a short command may not import: each of these costs more than the command's own work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from unit.cli.fakeengine import FakeEngine, Request, frame, upgraded

TOO_SLOW = [
    *("argparse", "asyncio", "base64", "collections", "contextlib", "copy", "dataclasses"),
    *("datetime", "enum", "functools", "inspect", "json", "logging", "msgspec", "pathlib"),
    *("random", "re", "rich", "selectors", "shlex", "shutil", "signal", "socket", "ssl"),
    *("string", "struct", "subprocess", "tempfile", "threading", "types", "typing", "urllib"),
]
REPORT = """
import os, sys
before = set(sys.modules)
from casemate.cli.main import run
status = run(sys.argv[1:])
os.write(2, "\\n".join(set(sys.modules) - before).encode())
os._exit(status)
"""


def _attach(request: Request) -> None:
    upgraded(request)
    request.sock.sendall(frame(1, b"hi\n"))


@pytest.mark.parametrize(
    "words",
    [
        ["ps", "-a"],
        ["ps", "--format", "{{.ID}} {{json .Labels}}"],
        ["images"],
        ["run", "--rm", "-m", "1g", "busybox", "true"],
        ["run", "-d", "-p", "80:80", "-v", "/a:/b", "busybox"],
        ["create", "--mount", "dst=/x", "--device", "/dev/null", "busybox"],
        ["exec", "c", "true"],
        ["start", "c"],
        ["stop", "c"],
        ["rm", "c", "d"],
        ["inspect", "c"],
        ["logs", "c"],
    ],
)
def test_a_short_command_imports_nothing_slow(engine: FakeEngine, words: list[str]) -> None:
    container = {"Id": "c", "Config": {"Tty": False, "OpenStdin": False}}
    engine.answers = {
        "GET /containers/json": (200, [{"Id": "a" * 64, "Names": ["/n"], "Created": 1}]),
        "GET /images/json": (200, []),
        "GET /containers/c/json": (200, container),
        "POST /containers/create": (201, {"Id": "c", "Warnings": None}),
        "POST /containers/c/attach": _attach,
        "POST /containers/c/wait": (200, {"StatusCode": 0}),
        "POST /containers/c/start": (204, b""),
        "POST /containers/c/exec": (201, {"Id": "e"}),
        "POST /exec/e/start": _attach,
        "GET /exec/e/json": (200, {"ExitCode": 0}),
        "GET /containers/c/logs": (200, frame(2, b"err\n")),
    }
    done = subprocess.run(
        [sys.executable, "-S", "-c", REPORT, *words],
        env={**os.environ, "CASEMATE_HOST": engine.address, "PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    loaded = done.stderr.decode().removeprefix("err\n").split("\n")
    assert "casemate.cli.main" in loaded
    assert not set(loaded) & set(TOO_SLOW)
