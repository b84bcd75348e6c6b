"""A file system that remembers all its writes, and every state a loss of power could leave of it.

A disk promises that what it was told to flush is there afterwards. Of what was written since, any
part may be there, in any combination; that is what ``Replay`` makes of the log of ``writelog``.
"""

from __future__ import annotations

import contextlib
import glob
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from support.engine import eventually
from support.writelog import FLUSH, RECORD

_SIZE_BYTES = 768 << 20
#: What a disk writes whole or not at all.
_BLOCK = 4096
_MAKE = ("mkfs.ext4", "-q", "-m0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")
_PROGRAM = os.path.join(os.path.dirname(__file__), "writelog.py")


class Write(NamedTuple):
    offset: int
    data: bytes

    def blocks(self) -> Iterator[Write]:
        """Return the parts that a disk writes whole or not at all."""
        for start in range(0, len(self.data), _BLOCK):
            yield Write(self.offset + start, self.data[start : start + _BLOCK])


class RecordedDisk:
    """An ext4 file system at ``mounted`` whose writes are logged. Everything is in ``place``."""

    def __init__(self, place: str, mounted: str) -> None:
        self.mounted = mounted
        self.before, self.log = f"{place}/before", f"{place}/log"
        self._disk, self._fuse = f"{place}/disk", f"{place}/fuse"
        os.mkdir(self._fuse)
        os.makedirs(mounted, exist_ok=True)
        with open(self._disk, "xb") as file:
            file.truncate(_SIZE_BYTES)
        subprocess.run([*_MAKE, self._disk], check=True)
        copy_sparse(self._disk, self.before)
        command = [sys.executable, _PROGRAM, self._fuse, self._disk, self.log]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._server.stdout
        if self._server.stdout.readline() != b"mounted\n":
            self._server.wait()
            pytest.skip("needs FUSE")
        try:
            mount(f"{self._fuse}/disk", mounted)
        except BaseException:
            self._end_server()
            raise

    def position(self) -> int:
        """Return how much was written: who asks after an answer has what it rests on before it."""
        return os.stat(self.log).st_size

    def close(self) -> None:
        """Unmount it; the log stays."""
        unmount(self.mounted)
        self._end_server()

    def _end_server(self) -> None:
        unmount(self._fuse)
        assert self._server.stdout
        self._server.stdout.close()
        assert self._server.wait(30) == 0


class Replay:
    """The states of a recorded disk after losses of power, in the order of their moments."""

    def __init__(self, disk: RecordedDisk, place: str) -> None:
        self._durable, self._crashed = f"{place}/durable", f"{place}/crashed"
        copy_sparse(disk.before, self._durable)
        self._log = open(disk.log, "rb")
        self._pending: list[Write] = []

    def at(self, position: int, dice: random.Random, kept: float) -> str:
        """Return the image of the disk when power is lost at ``position``, not before the last one.

        What was not flushed is there with the probability ``kept``, block by block.
        """
        self._advance(position)
        copy_sparse(self._durable, self._crashed)
        blocks = (block for write in self._pending for block in write.blocks())
        _apply(self._crashed, [block for block in blocks if dice.random() < kept])
        return self._crashed

    def _advance(self, position: int) -> None:
        while True:
            start = self._log.tell()
            head = self._log.read(RECORD.size)
            offset, size = RECORD.unpack(head) if len(head) == RECORD.size else (FLUSH, 0)
            if len(head) < RECORD.size or start + RECORD.size + size > position:
                self._log.seek(start)
                return
            if offset == FLUSH:
                _apply(self._durable, self._pending)
                self._pending = []
            else:
                self._pending.append(Write(offset, self._log.read(size)))

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()


def _apply(path: str, writes: list[Write]) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for write in writes:
            assert os.pwrite(descriptor, write.data, write.offset) == len(write.data)
    finally:
        os.close(descriptor)


def copy_sparse(source: str, target: str) -> None:
    """Copy a file; what is not there is not there in the copy."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


@contextlib.contextmanager
def mounted(image: str, directory: str) -> Iterator[None]:
    """Have the file system in ``image`` at ``directory`` meanwhile; its journal is replayed."""
    mount(image, directory)
    try:
        yield
    finally:
        unmount(directory)
        eventually(lambda: _is_used(image), lambda used: not used)


def _is_used(image: str) -> bool:
    """Tell whether a loop device has the file: the file system may outlive its last mount."""
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            if file.read().strip() == image:
                return True
    return False


@contextlib.contextmanager
def shared(directory: str) -> Iterator[None]:
    """Have what is mounted below ``directory`` come and go in all copies of our mounts.

    A room that any engine makes meanwhile has such a copy, and would hold the file systems.
    """
    for arguments in (("--bind", directory, directory), ("--make-shared", directory)):
        subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        unmount(directory)


def mount(image: str, directory: str) -> None:
    """Mount the file system in a file."""
    command = ["mount", "-o", "loop,noinit_itable", image, directory]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs a loop device and ext4: {done.stderr.strip()}")


def unmount(directory: str) -> None:
    """Unmount what is at ``directory``; the last of what used it may be on its way out."""

    def attempt() -> str:
        return subprocess.run(["umount", directory], capture_output=True, text=True).stderr

    eventually(attempt, lambda said: not said)


def needs() -> None:
    """Skip the test without the programs it needs."""
    for program in ("mkfs.ext4", "mount"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}: apt install e2fsprogs")
