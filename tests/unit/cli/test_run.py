"""``run`` and its like: streams both ways, exit statuses, signals, detaching."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from unit.cli.fakeengine import FakeEngine, Request, frame, upgraded

PROGRAM = [sys.executable, "-c", "from casemate.cli.main import main; main()"]


class Box:
    """A container of the fake engine: ``work`` is what its process does with the connection."""

    def __init__(self, engine: FakeEngine, work: Callable[[Any], int], tty: bool = False) -> None:
        self.started = threading.Event()
        self.ended = threading.Event()
        self.killed: list[str] = []
        self.sizes: list[tuple[str, str]] = []
        self.woken = threading.Semaphore(0)
        self.status = 0
        self._work = work
        self._tty = tty
        config = {"Tty": tty, "OpenStdin": True}
        document = {
            "Id": "box",
            "Config": config,
            "HostConfig": {"AutoRemove": False},
            "State": {"Running": True},
        }
        engine.answers = {
            "POST /containers/create": (201, {"Id": "box", "Warnings": ["careful"]}),
            "GET /containers/box/json": (200, document),
            "POST /containers/box/attach": self._attach,
            "POST /containers/box/wait": self._wait,
            "POST /containers/box/start": self._start,
            "POST /containers/box/kill": self._kill,
            "POST /containers/box/resize": self._resize,
        }

    def _attach(self, request: Request) -> None:
        upgraded(request)
        self.started.wait(20)
        self.status = self._work(request.sock)
        self.ended.set()

    def _wait(self, request: Request) -> None:
        # As the engine does: the head at once, so that the client can start the container.
        request.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.ended.wait(20)
        body = b'{"StatusCode":%d}\n' % self.status
        request.sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    def _start(self, request: Request) -> tuple[int, bytes]:
        self.started.set()
        return 204, b""

    def _kill(self, request: Request) -> tuple[int, bytes]:
        self.killed += request.query["signal"]
        self.woken.release()
        return 204, b""

    def _resize(self, request: Request) -> tuple[int, bytes]:
        self.sizes.append((request.query["h"][0], request.query["w"][0]))
        self.woken.release()
        return 200, b""


def call(engine: FakeEngine, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [*PROGRAM, *words],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_output_and_status_come_from_the_container(engine: FakeEngine) -> None:
    def work(sock: Any) -> int:
        sock.sendall(frame(1, b"out\n") + frame(2, b"err\n"))
        return 3

    Box(engine, work)
    assert call(engine, "run", "b") == (3, b"out\n", b"WARNING: careful\nerr\n")
    assert [r.path for r in engine.requests] == [
        "/containers/create",
        "/containers/box/attach",
        "/containers/box/wait",
        "/containers/box/start",
    ]
    assert engine.requests[1].query == {"stream": ["1"], "stdout": ["1"], "stderr": ["1"]}
    assert engine.requests[2].query == {"condition": ["next-exit"]}


def test_input_is_sent_and_its_end_as_well(engine: FakeEngine) -> None:
    given = os.urandom(3 << 20)

    def work(sock: Any) -> int:
        received = b""
        while piece := sock.recv(1 << 20):  # until our half of the connection is closed
            received += piece
        sock.sendall(frame(1, received))
        return 0

    Box(engine, work)
    assert call(engine, "run", "-i", "b", given=given)[:2] == (0, given)


def test_input_flows_while_nobody_takes_the_output(engine: FakeEngine) -> None:
    """Who writes everything to us before reading anything from us does not get stuck."""
    size = 4 << 20

    def work(sock: Any) -> int:
        talking = threading.Thread(target=sock.sendall, args=(frame(1, bytes(size)),))
        talking.start()
        received = 0
        while piece := sock.recv(1 << 16):
            received += len(piece)
        talking.join()
        return 0 if received == size else 1

    Box(engine, work)
    with subprocess.Popen(
        [*PROGRAM, "run", "-i", "b"],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        assert child.stdin and child.stdout
        child.stdin.write(bytes(size))
        child.stdin.close()
        assert child.stdout.read() == bytes(size)
    assert child.returncode == 0


def test_without_attached_output_the_end_is_the_containers(engine: FakeEngine) -> None:
    def work(sock: Any) -> int:
        assert sock.recv(100) == b"hi"
        return 5

    Box(engine, work)
    assert call(engine, "run", "-i", "-a", "stdin", "b", given=b"hi")[0] == 5


def test_detached_prints_the_id(engine: FakeEngine) -> None:
    Box(engine, lambda sock: 0)
    assert call(engine, "run", "-d", "b")[:2] == (0, b"box\n")
    assert [r.path for r in engine.requests] == ["/containers/create", "/containers/box/start"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("stat /x: no such file or directory", 127),
        ("exec /x: permission denied", 126),
        ("cannot allocate memory", 125),
    ],
)
def test_a_start_that_fails_has_a_status_that_shells_know(
    engine: FakeEngine, message: str, status: int
) -> None:
    box = Box(engine, lambda sock: 0)

    def fail(request: Request) -> tuple[int, Any]:
        box.started.set()
        box.ended.set()
        return 400, {"message": message, "hint": "look"}

    engine.answers["POST /containers/box/start"] = fail
    found, out, err = call(engine, "run", "--rm", "b")
    assert (found, out) == (status, b"")
    assert err.decode() == (
        f"WARNING: careful\ncasemate: Error response from daemon: {message}\n\n"
        "Run 'casemate run --help' for more information\nhint: look\n"
    )


def test_a_missing_image_is_pulled_with_its_progress_on_stderr(engine: FakeEngine) -> None:
    box = Box(engine, lambda sock: 0)
    create = engine.answers["POST /containers/create"]

    def missing(request: Request) -> Any:
        engine.answers["POST /containers/create"] = create
        return 404, {"message": "No such image: b:latest"}

    engine.answers["POST /containers/create"] = missing
    engine.answers["POST /images/create"] = (200, b'{"status":"Pulling","id":"latest"}\n')
    assert call(engine, "run", "b") == (
        0,
        b"",
        b"Unable to find image 'b:latest' locally\nlatest: Pulling\nWARNING: careful\n",
    )
    pull = engine.sent("POST", "/images/create")[0]
    assert pull.query == {"fromImage": ["docker.io/library/b"], "tag": ["latest"]}
    assert pull.headers["x-registry-auth"] == "e30="
    assert box.started.is_set()


@pytest.mark.parametrize("words", [["--pull", "never", "b"], ["0123abcd@"]])
def test_an_image_that_may_not_be_pulled_is_an_error(engine: FakeEngine, words: list[str]) -> None:
    engine.answers["POST /containers/create"] = (404, {"message": "No such image: b"})
    status, _, err = call(engine, "run", *words)
    assert (status, b"No such image" in err) == (125, True)
    assert not engine.sent("POST", "/images/create")


def test_the_id_file_is_written_once_and_not_left_after_a_failure(
    engine: FakeEngine, tmp_path: Any
) -> None:
    path = tmp_path / "id"
    Box(engine, lambda sock: 0)
    assert call(engine, "create", "--cidfile", str(path), "b")[0] == 0
    assert path.read_text() == "box"
    status, _, err = call(engine, "run", "--cidfile", str(path), "b")
    assert (status, b"container ID file found" in err) == (125, True)
    path.unlink()
    engine.answers["POST /containers/create"] = (409, {"message": "name in use"})
    assert call(engine, "run", "--cidfile", str(path), "b")[0] == 125
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_go_to_the_container(engine: FakeEngine, number: signal.Signals) -> None:
    children: list[subprocess.Popen[bytes]] = []
    box: Box

    def work(sock: Any) -> int:
        sock.sendall(frame(1, b"ready\n"))
        box.woken.acquire(timeout=20)
        return 7

    box = Box(engine, work)
    with subprocess.Popen(
        [*PROGRAM, "run", "b"],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        children.append(child)
        assert child.stdout and child.stdout.readline() == b"ready\n"
        child.send_signal(number)
        assert child.wait(30) == 7
    assert box.killed == [number.name.removeprefix("SIG")]


def test_the_third_interrupt_ends_the_command_itself(engine: FakeEngine) -> None:
    box: Box
    over = threading.Event()

    def work(sock: Any) -> int:
        sock.sendall(frame(1, b"ready\n"))
        over.wait(20)
        return 0

    box = Box(engine, work)
    with subprocess.Popen(
        [*PROGRAM, "run", "b"],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout and child.stderr and child.stdout.readline() == b"ready\n"
        for _ in range(2):
            child.send_signal(signal.SIGINT)
            box.woken.acquire(timeout=20)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 1
        assert b"got 3 SIGTERM/SIGINTs, forcefully exiting" in child.stderr.read()
    over.set()


def test_the_end_is_known_although_the_engine_was_restarted(engine: FakeEngine) -> None:
    """The connection of the wait breaks; the next engine is asked again."""
    box: Box
    waits: list[Request] = []

    def work(sock: Any) -> int:
        sock.sendall(frame(1, b"x"))
        return 9

    box = Box(engine, work)

    def wait(request: Request) -> Any:
        waits.append(request)
        if len(waits) == 1:
            request.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            box.ended.wait(20)
            return None  # the connection is closed without an answer
        return 200, {"StatusCode": 9}

    engine.answers["POST /containers/box/wait"] = wait
    assert call(engine, "run", "b")[:2] == (9, b"x")
    assert [w.query["condition"] for w in waits] == [["next-exit"], ["not-running"]]


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, engine: FakeEngine, *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environ = {**os.environ, "CASEMATE_HOST": engine.address}
            os.execve(PROGRAM[0], [*PROGRAM, *words], environ)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: bytes) -> None:
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], 30)
            assert ready, self.seen
            self.seen += os.read(self.fd, 1 << 16)
        self.seen = self.seen.partition(text)[2]

    def end(self) -> tuple[int, bytes]:
        while select.select([self.fd], [], [], 30)[0]:
            try:
                data = os.read(self.fd, 1 << 16)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.seen


@pytest.fixture
def shell(engine: FakeEngine) -> Iterator[Box]:
    """A container that echoes what is typed, in brackets, until somebody types q."""
    box: Box

    def work(sock: Any) -> int:
        sock.sendall(b"$ ")
        while data := sock.recv(1000):
            sock.sendall(b"[" + data + b"]")
            if b"q" in data:
                return 4
        return 6

    box = Box(engine, work, tty=True)
    yield box
    box.started.set()


def test_a_terminal_is_raw_and_its_size_follows(engine: FakeEngine, shell: Box) -> None:
    terminal = Terminal(engine, "run", "-it", "b")
    terminal.expect(b"$ ")
    os.write(terminal.fd, b"a\r\x03")  # not echoed, not translated, no signal
    terminal.expect(b"[a\r\x03]")
    terminal.resize(40, 120)
    while ("40", "120") not in shell.sizes:
        assert shell.woken.acquire(timeout=20)
    os.write(terminal.fd, b"q")
    assert terminal.end() == (4, b"[q]")
    create = engine.sent("POST", "/containers/create")[0].document
    assert create["Tty"] and create["OpenStdin"]


@pytest.mark.parametrize("keys", ["", "ctrl-a,x"])
def test_the_detach_keys_leave_the_container_alone(
    engine: FakeEngine, shell: Box, keys: str
) -> None:
    option = [f"--detach-keys={keys}"] if keys else []
    terminal = Terminal(engine, "run", "-it", *option, "b")
    terminal.expect(b"$ ")
    os.write(terminal.fd, b"\x10z")
    terminal.expect(b"[\x10z]")
    os.write(terminal.fd, b"\x01" if keys else b"\x10")
    os.write(terminal.fd, b"x" if keys else b"\x11")
    assert terminal.end()[0] == 0
    assert not shell.ended.is_set() or shell.status == 6
    sent = engine.sent("POST", "/containers/box/attach")[0].query
    assert sent.get("detachKeys") == ([keys] if keys else None)


def test_attach_tells_that_it_was_left(engine: FakeEngine, shell: Box) -> None:
    shell.started.set()
    terminal = Terminal(engine, "attach", "box")
    terminal.resize(10, 20)
    terminal.expect(b"$ ")
    os.write(terminal.fd, b"\x10\x11")
    assert terminal.end() == (1, b"read escape sequence\r\n")


def test_a_containers_terminal_needs_a_terminal(engine: FakeEngine) -> None:
    Box(engine, lambda sock: 0, tty=True)
    for words in (["run", "-it", "b"], ["attach", "box"], ["exec", "-it", "box", "sh"]):
        assert call(engine, *words)[::2] == (1, b"the input device is not a TTY\n")
    assert not engine.sent("POST", "/containers/create")


def test_start_attached_ends_as_the_container_ends(engine: FakeEngine) -> None:
    def work(sock: Any) -> int:
        sock.sendall(frame(1, sock.recv(100)))
        return 2

    Box(engine, work)
    assert call(engine, "start", "-ai", "box", given=b"in") == (2, b"in", b"")


def test_exec_ends_with_the_commands_status(engine: FakeEngine) -> None:
    def started(request: Request) -> None:
        upgraded(request)
        request.sock.sendall(frame(1, b"out") + frame(2, b"err"))

    engine.answers = {
        "POST /containers/box/exec": (201, {"Id": "e"}),
        "POST /exec/e/start": started,
        "GET /exec/e/json": (200, {"ExitCode": 6}),
    }
    assert call(engine, "exec", "-e", "A=b", "box", "sh") == (6, b"out", b"err")
    engine.answers["POST /exec/e/start"] = (400, {"message": "exec: executable file not found"})
    assert call(engine, "exec", "box", "nope")[0] == 127
    engine.answers["POST /containers/box/exec"] = (404, {"message": "No such container: box"})
    assert call(engine, "exec", "box", "x")[::2] == (
        1,
        b"Error response from daemon: No such container: box\n",
    )
