"""An engine of a test's own: its process, its directories, a client, and images for it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from casemate.composition import instance_name
from casemate.engine.paths import Paths
from casemate.errors import NotFound
from casemate.http.client import Client
from casemate.http.framing import Demultiplexer
from support.streams import start_exec

PREFIX = "/v1.47"

T = TypeVar("T")


class RunningEngine:
    """``python -m casemate.daemon`` in directories of its own; started, killed, started again."""

    def __init__(
        self, place: str, *options: str, prefix: Sequence[str] = (), settings: str = ""
    ) -> None:
        """``prefix`` is a command that executes the engine: ``prlimit --nofile=64``; ``settings``
        are those of casemate.toml.
        """
        self.place = place
        self.root = f"{place}/root"
        self.run = f"{place}/run"
        self._prefix = prefix
        if settings:
            os.makedirs(self.root, 0o700)
            with open(f"{self.root}/casemate.toml", "w", encoding="utf-8") as file:
                file.write(settings)
        self.socket = f"{self.run}/casemate.sock"
        self._options = options
        self._log = f"{place}/engine.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Client(f"unix://{self.socket}", PREFIX)

    def start(self) -> None:
        """Start the engine and wait until it says that it serves."""
        ours, theirs = os.pipe()
        self.process = self.spawn(theirs)
        os.close(theirs)
        with os.fdopen(ours) as ready:
            said = ready.read()
        assert said == "ready\n", f"{said}\n{self.log()}"

    def spawn(self, ready: int = -1) -> subprocess.Popen[bytes]:
        """Start the process and let it be; ``ready`` is where it says that it serves."""
        command = [*self._prefix, sys.executable, "-m", "casemate.daemon"]
        command += ["--root", self.root, "--run", self.run, "--ready-fd", str(ready)]
        with open(self._log, "ab") as log:
            return subprocess.Popen(
                [*command, *self._options],
                pass_fds=[ready] if ready >= 0 else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Ask the engine to leave, and wait."""
        if self.process:
            self.client.close()
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """Kill the engine with SIGKILL; its containers go on."""
        if self.process:
            self.client.close()
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """Return what the engine has logged."""
        try:
            with open(self._log, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def remove_everything(self) -> None:
        """Remove all containers and images, stop, and take the mounts and directories away."""
        if self.process is None:
            self.start()
        for container in self.client.get("/containers/json?all=1"):
            self.client.call("DELETE", f"/containers/{container['Id']}?force=1")
        self.client.post('/volumes/prune?filters={"all":["true"]}')
        for image in self.client.get("/images/json"):
            self.client.call("DELETE", f"/images/{image['Id']}?force=1")
        self.remove_what_can_be_removed()

    def remove_what_can_be_removed(self) -> None:
        """Stop, whatever the state is, and leave nothing of it on the machine."""
        self.stop()
        self.leave_the_machine()
        shutil.rmtree(self.place, ignore_errors=True)

    def leave_the_machine(self) -> None:
        """Without an engine: end its containers and take away what it has made, but for files."""
        name = instance_name(Paths(self.root, self.run))
        kill_cgroups(name)
        subprocess.run(["umount", "-R", f"{self.run}/layers"], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", f"{name}0"], check=False, capture_output=True)
        for family in ("inet", "bridge"):
            subprocess.run(
                ["nft", "delete", "table", family, name], check=False, capture_output=True
            )
        remove_cgroups(name)

    # ---- shortcuts ----

    def create(self, image: str, *command: str, name: str = "", **host: Any) -> str:
        """Create a container and return its id. ``host`` are members of HostConfig."""
        body: dict[str, Any] = {"Image": image, "Cmd": list(command) or None}
        for key in ("Tty", "OpenStdin", "StdinOnce", "User", "Env", "WorkingDir", "ExposedPorts"):
            if key in host:
                body[key] = host.pop(key)
        body["HostConfig"] = host
        query = f"?name={name}" if name else ""
        created: str = self.client.post(f"/containers/create{query}", body)["Id"]
        return created

    def start_container(self, id_: str) -> None:
        """Start a container."""
        self.client.post(f"/containers/{id_}/start")

    def run_container(self, image: str, *command: str, **host: Any) -> str:
        """Create and start a container and return its id."""
        id_ = self.create(image, *command, **host)
        self.start_container(id_)
        return id_

    def wait(self, id_: str) -> int:
        """Wait for the end and return the exit code."""
        code: int = self.client.post(f"/containers/{id_}/wait")["StatusCode"]
        return code

    def exec(self, id_: str, *command: str, stdin: bytes = b"", **config: Any) -> Executed:
        """Run one more process in a container to its end."""
        exec_id = self.create_exec(id_, *command, **config)
        streams = start_exec(self.client, exec_id, tty=config.get("Tty", False))
        streams.end_input(stdin)
        out, err = streams.rest()
        return Executed(self.exec_code(exec_id), out, err)

    def create_exec(self, id_: str, *command: str, **config: Any) -> str:
        """Describe an exec and return its id."""
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True} | config
        created: str = self.client.post(f"/containers/{id_}/exec", body)["Id"]
        return created

    def exec_code(self, exec_id: str) -> int:
        """Return the exit code of an exec whose streams have ended; it is known by then."""
        found = self.client.get(f"/exec/{exec_id}/json")
        assert not found["Running"], found
        code: int = found["ExitCode"]
        return code

    def output(self, id_: str) -> tuple[bytes, bytes]:
        """Return both streams of the log of a container without a terminal."""
        with self.client.request("GET", f"/containers/{id_}/logs?stdout=1&stderr=1") as reply:
            return demultiplexed(reply.read())

    def says(self, image: str, *command: str, **host: Any) -> str:
        """Run a command to its end and return what it wrote to stdout; it must succeed."""
        id_ = self.run_container(image, *command, **host)
        code = self.wait(id_)
        out, err = self.output(id_)
        self.client.call("DELETE", f"/containers/{id_}")
        assert code == 0, (code, out, err)
        return out.decode()

    def inspect(self, id_: str) -> dict[str, Any]:
        """Return the container's description."""
        found: dict[str, Any] = self.client.get(f"/containers/{id_}/json")
        return found

    def supervisor(self, id_: str) -> int:
        """Return the pid of a running container's supervisor."""
        with open(f"/proc/{self.inspect(id_)['State']['Pid']}/stat", encoding="ascii") as file:
            return int(file.read().rpartition(")")[2].split()[1])

    def import_image(self, tar: bytes, name: str, *changes: str) -> None:
        """Make an image of a root tar."""
        from urllib.parse import quote

        query = "".join(f"&changes={quote(c)}" for c in changes)
        path = f"/images/create?fromSrc=-&repo={quote(name)}{query}"
        with self.client.request("POST", path, tar) as reply:
            lines = list(reply.lines())
        assert not any(b"error" in line for line in lines), lines

    def progress(
        self, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str
    ) -> list[dict[str, Any]]:
        """POST and return the lines of progress. Raises what an error among them says."""
        with self.client.request("POST", path, body, headers) as reply:
            lines = [json.loads(line) for line in reply.lines()]
        for line in lines:
            if "error" in line:
                raise ProgressError(line["error"])
        return lines

    def pull(self, name: str, **headers: str) -> list[dict[str, Any]]:
        """Pull an image and return what was told meanwhile."""
        repository, _, tag = name.rpartition(":")
        return self.progress(f"/images/create?fromImage={repository}&tag={tag}", **headers)

    def push(self, name: str, **headers: str) -> list[dict[str, Any]]:
        """Push an image and return what was told meanwhile."""
        repository, _, tag = name.rpartition(":")
        return self.progress(f"/images/{repository}/push?tag={tag}", **headers)

    def load(self, archive: bytes | Iterable[bytes]) -> str:
        """Load an archive and return what was said about it."""
        return "".join(line["stream"] for line in self.progress("/images/load", archive))

    def save(self, *names: str) -> bytes:
        """Return the archive of images."""
        query = "&".join(f"names={name}" for name in names)
        with self.client.request("GET", f"/images/get?{query}") as reply:
            return reply.read()

    def image(self, name: str) -> dict[str, Any]:
        """Return an image's description."""
        found: dict[str, Any] = self.client.get(f"/images/{name}/json")
        return found

    def remove_images_but(self, kept: str) -> None:
        """Remove every name but ``kept``, and the images that are left without one."""
        for image in self.client.get("/images/json"):
            for name in (*image["RepoTags"], *image["RepoDigests"]):
                if name != kept:
                    with contextlib.suppress(NotFound):
                        self.client.call("DELETE", f"/images/{name}?force=1")
        for image in self.client.get("/images/json"):
            if kept not in image["RepoTags"]:
                self.client.call("DELETE", f"/images/{image['Id']}?force=1")

    def stored(self) -> dict[str, tuple[int, str]]:
        """Return size and digest of every file of the stores, by path; what a crash must not
        touch and a failure must not leave behind.
        """
        found = {}
        for part in ("content/blobs", "layers"):
            for directory, _, names in os.walk(f"{self.root}/{part}"):
                for name in names:
                    with open(f"{directory}/{name}", "rb") as file:
                        data = file.read()
                    path = f"{directory}/{name}".removeprefix(self.root)
                    found[path] = len(data), hashlib.sha256(data).hexdigest()
        return found

    def wait_for_rooms(self) -> None:
        """Wait until the rooms that are made ahead are: who counts descriptors counts theirs."""
        eventually(
            lambda: self.client.get("/info")["WarmRooms"],
            lambda rooms: bool(rooms["Ready"] == rooms["Size"]),
        )

    def descriptors(self) -> int:
        """Return how many descriptors the engine holds."""
        assert self.process
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_kib(self) -> int:
        """Return the engine's resident memory."""
        assert self.process
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def fsck(self, *, repair: bool = False) -> list[bytes]:
        """Return the problems that the engine finds in itself."""
        with self.client.request("POST", f"/casemate/fsck?repair={int(repair)}") as reply:
            *problems, _ = list(reply.lines())
        return problems


class ProgressError(Exception):
    """Work that was begun failed; its reason came at the end of its progress."""


class Executed(NamedTuple):
    """What an exec ended with and said."""

    code: int
    out: bytes
    err: bytes


def eventually(look: Callable[[], T], is_so: Callable[[T], bool], limit_s: float = 30) -> T:
    """Return what ``look`` finds as soon as it ``is_so``; for what nobody announces."""
    deadline = time.monotonic() + limit_s
    while not is_so(found := look()):
        assert time.monotonic() < deadline, f"still {found!r}"
        select.select([], [], [], 0.01)
    return found


def demultiplexed(data: bytes) -> tuple[bytes, bytes]:
    """Return the two streams of framed output."""
    streams = {1: b"", 2: b""}
    for stream, piece in Demultiplexer().feed(data):
        streams[stream] += piece
    return streams[1], streams[2]


def busybox_tar() -> bytes:
    """Return a root tar with the machine's static busybox and links for its applets."""
    program = shutil.which("busybox")
    assert program
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            archive.addfile(info)
        archive.add(program, "bin/busybox")
        for applet in applets.stdout.split():
            if applet != "busybox":
                info = tarfile.TarInfo(f"bin/{applet}")
                info.type, info.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(info)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n"),
            ("etc/group", "root:x:0:\nbob:x:1000:\nextra:x:2000:bob\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def kill_cgroups(name: str) -> None:
    """Kill what is left in the cgroups of an engine, and wait until it is gone."""
    deadline = time.monotonic() + 10
    while pids := {
        int(line)
        for top in hierarchies()
        for directory, _, _ in os.walk(f"{top}/{name}")
        for line in _lines(f"{directory}/cgroup.procs")
    }:
        assert time.monotonic() < deadline, pids
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        select.select([], [], [], 0.01)


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
        return file.read().split()
    return []


def remove_cgroups(name: str) -> None:
    """Remove the empty cgroups of an engine, in every hierarchy."""
    for top in hierarchies():
        path = f"{top}/{name}"
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass  # it has processes: the test that left them will say so


def hierarchies() -> Iterator[str]:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[2] in ("cgroup", "cgroup2"):
                yield fields[1]
