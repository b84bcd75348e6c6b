"""The engines of a supervisor: impatient, silent, hostile ones."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import subprocess

import pytest

from casemate.runtime.plan import Plan
from casemate.runtime.steps import SIGNATURES
from casemate.supervise import protocol
from casemate.supervise.program import Program
from casemate.supervise.protocol import Message
from support.shims import Lab, Task, asynchronous, within

pytestmark = pytest.mark.root


def test_the_steps_of_the_shim_are_those_of_the_engine(program: Program) -> None:
    shim = f"/proc/self/fd/{program.descriptor}"
    said = subprocess.run([shim, "steps"], pass_fds=[program.descriptor], capture_output=True)
    rows = [line.split(" ") for line in said.stdout.decode().splitlines()]
    assert [(int(number), name, operands) for number, name, operands in rows] == [
        (number, name, operands) for number, (name, operands) in enumerate(SIGNATURES.items(), 1)
    ]


def raw(task: Task) -> socket.socket:
    """Return a connection to the supervisor that does nothing by itself."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    directory = os.open(task.state, os.O_PATH)
    try:
        sock.connect(f"/proc/self/fd/{directory}/control.sock")
    finally:
        os.close(directory)
    return sock


@asynchronous
async def test_an_engine_that_does_not_read_keeps_nobody_waiting_and_misses_nothing(
    lab: Lab,
) -> None:
    task = await lab.run("sleep", "1000")
    with raw(task) as silent:
        silent.setblocking(False)
        sent = 0
        request = Message(protocol.REQ_STATUS, 0).encode()
        while True:
            try:
                silent.send(request)
                sent += 1
            except BlockingIOError:
                await task.shim.refresh()  # all the while, others are served
                try:
                    silent.send(request)
                    sent += 1
                except BlockingIOError:
                    break
        for _ in range(5):
            number = await task.execute("true")
            assert (await task.exit(number)).code == 0
        silent.settimeout(10)
        news = {protocol.EV_DONE: 0, protocol.EV_STARTED: 0, protocol.EV_STATUS: 0}
        while news[protocol.EV_DONE] < sent:
            kind = protocol.decode(silent.recv(9000)).kind
            news[kind] = news.get(kind, 0) + 1
    assert (news[protocol.EV_STATUS], news[protocol.EV_STARTED]) == (sent, 5)


def held(pid: int) -> list[str]:
    """Return what kinds of descriptors a process holds."""
    directory = f"/proc/{pid}/fd"
    return sorted(os.readlink(f"{directory}/{n}").split(":")[0] for n in os.listdir(directory))


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"\0" * 23,
        Message(999).encode(),
        Message(protocol.REQ_KILL, 0, 999).encode(),
        Message(protocol.REQ_KILL, 0, -1).encode(),
        Message(protocol.REQ_KILL, 77, 9).encode(),
        Message(protocol.REQ_EXEC, 0).encode(),
        Message(protocol.REQ_EXEC, 5).encode(),
        Message(protocol.REQ_ATTACH, 0, 15).encode(),
        Message(protocol.REQ_RELAY, 1, payload=b"x" * 24).encode(),
        Message(protocol.REQ_UNRELAY, 1).encode(),
        Message(protocol.REQ_PREPARE).encode(),
        Message(protocol.REQ_NURSERY).encode(),
        Message(protocol.REQ_FREE, 0).encode(),
        Message(protocol.REQ_RESIZE, 0, 1, 1).encode(),
        Message(protocol.REQ_STATUS, payload=b"x" * 20000).encode(),
    ],
)
@asynchronous
async def test_nonsense_is_answered_and_harms_nobody(lab: Lab, data: bytes) -> None:
    task = await lab.run("sleep", "1000")
    with raw(task) as strange:
        strange.send(data)
        strange.send(Message(protocol.REQ_STATUS).encode())
        strange.settimeout(10)
        while protocol.decode(strange.recv(9000)).kind != protocol.EV_STATUS:
            pass
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_hostile_plans_are_refused(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    good = task.exec_plan("true").whole_file()
    for number, plan in enumerate(
        [
            b"",
            b"x",
            good[:20],
            good[:-1],
            good + b"x",
            b"y" + good[1:],
            good.replace(b"\x01", b"\xff"),
        ],
        1,
    ):
        with pytest.raises(Exception, match=r"\w"):
            await within(task.shim.execute(number, plan))
    number = await task.execute("true", number=100)
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_a_request_for_which_there_are_no_descriptors_left_is_answered(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    used = {int(n) for n in os.listdir(f"/proc/{task.shim.pid}/fd")}
    free = min(set(range(len(used) + 1)) - used)
    resource.prlimit(task.shim.pid, resource.RLIMIT_NOFILE, (free, 500))
    with pytest.raises(Exception, match="Too many open files"):
        await within(task.execute("true"))
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError) as caught:
        await within(task.shim.attach(0, theirs.fileno(), 7))
    assert caught.value.errno == errno.EMFILE
    resource.prlimit(task.shim.pid, resource.RLIMIT_NOFILE, (500, 500))
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0
    assert {int(n) for n in os.listdir(f"/proc/{task.shim.pid}/fd")} == used


@asynchronous
async def test_descriptors_of_all_that_ended_are_closed(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    await task.shim.nursery(Plan(()).whole_file())
    number, client = await task.talk("echo", "x")
    await client.rest()
    await task.exit(number)
    await task.shim.forget(number)
    used = held(task.shim.pid)
    for _ in range(30):
        number, client = await task.talk("echo", "x")
        await client.rest()
        await task.exit(number)
        await task.shim.forget(number)
        with raw(task):
            await task.shim.refresh()
    await task.shim.refresh()
    assert held(task.shim.pid) == used


@asynchronous
async def test_the_exit_status_of_old_execs_is_forgotten_in_time(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    for _ in range(100):
        number = await task.execute("true")
        await task.exit(number)
    with raw(task) as other:
        other.settimeout(10)
        other.send(Message(protocol.REQ_STATUS).encode())
        exits = 0
        while (kind := protocol.decode(other.recv(9000)).kind) != protocol.EV_DONE:
            exits += kind == protocol.EV_EXITED
    assert exits == 64


@asynchronous
async def test_a_netlink_socket_of_the_containers_network_can_be_had(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    descriptor = await task.shim.open_network()
    with socket.socket(fileno=descriptor) as sock:
        assert sock.family == socket.AF_NETLINK
        inside = os.stat(f"/proc/{task.shim.room_pid}/ns/net").st_ino
        assert _namespace_of(sock) == inside
    own = os.stat("/proc/self/ns/net").st_ino
    assert os.stat(f"/proc/{task.shim.pid}/ns/net").st_ino == own != inside


def _namespace_of(sock: socket.socket) -> int:
    siocgskns = 0x894C  # linux/sockios.h
    namespace = fcntl.ioctl(sock, siocgskns)
    try:
        return os.fstat(namespace).st_ino
    finally:
        os.close(namespace)


@asynchronous
async def test_the_control_socket_is_for_its_owner_alone(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    assert (task.state / "control.sock").stat().st_mode & 0o777 == 0o600
