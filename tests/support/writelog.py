"""A disk that writes down what is written to it, and when it was told to make that durable.

    python writelog.py MOUNTPOINT DISK LOG

serves a FUSE file system whose one file ``disk`` is the file DISK, and appends every write and
every flush to LOG, in the order in which they were answered. A loop device on ``disk`` is a disk of
which every state that a loss of power could leave can be made afterwards. In a process of its own,
so that it answers whatever the test does.

Source: linux/fuse.h (protocol 7.31); linux Documentation/filesystems/fuse.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable

#: Of a record: offset and size of a write, or FLUSH and 0.
RECORD = struct.Struct("<QQ")
FLUSH = 2**64 - 1

_HEAD = struct.Struct("<IIQQIIIHH")
_ANSWER = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIIIHHIIHHII24x")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_TIMES = struct.Struct("<QII")
_ENTRY = struct.Struct("<QQQQII")
_OPENED = struct.Struct("<QIi")
_STATFS = struct.Struct("<QQQQQIIII24x")
_RANGE = struct.Struct("<QQII")
_WRITE_HEAD = 40

_MAX_WRITE = 1 << 20
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_MINOR = 31
_ROOT, _FILE = 1, 2
_FOREVER_S = 1 << 30
_SILENT = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET: nobody waits for an answer


class Refused(Exception):
    """What is not answered; its argument is the errno."""


class Disk:
    """The file, its log, and the answers to what the kernel asks."""

    def __init__(self, disk: str, log: str) -> None:
        self._disk = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._answers: dict[int, Callable[[int, memoryview], bytes]] = {
            1: self._lookup,
            3: self._attributes_of,
            4: self._attributes_of,
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statfs,
            18: self._nothing,
            20: self._flush,
            25: self._nothing,
            26: self._init,
        }

    def answer(self, request: memoryview) -> bytes | None:
        """Return what is said to one request, None for nothing."""
        _, operation, number, node, *_ = _HEAD.unpack_from(request)
        if operation in _SILENT:
            return None
        try:
            if operation not in self._answers:
                raise Refused(errno.ENOSYS)
            said = self._answers[operation](node, request[_HEAD.size :])
        except Refused as error:
            return _ANSWER.pack(_ANSWER.size, -error.args[0], number)
        except OSError as error:
            return _ANSWER.pack(_ANSWER.size, -(error.errno or errno.EIO), number)
        return _ANSWER.pack(_ANSWER.size + len(said), 0, number) + said

    def _init(self, _: int, request: memoryview) -> bytes:
        major, _, ahead, flags = struct.unpack_from("<IIII", request)
        wanted = flags & (_BIG_WRITES | _MAX_PAGES)
        pages = _MAX_WRITE // 4096
        return _INIT.pack(major, _MINOR, ahead, wanted, 16, 12, _MAX_WRITE, 1, pages, 0, 0, 0)

    def _attributes(self, node: int) -> bytes:
        size = os.fstat(self._disk).st_size if node == _FILE else 0
        mode = stat.S_IFREG | 0o600 if node == _FILE else stat.S_IFDIR | 0o700
        return _ATTRIBUTES.pack(
            *(node, size, size // 512, 0, 0, 0), *(0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
        )

    def _lookup(self, _: int, name: memoryview) -> bytes:
        if bytes(name).rstrip(b"\0") != b"disk":
            raise Refused(errno.ENOENT)
        head = _ENTRY.pack(_FILE, 0, _FOREVER_S, _FOREVER_S, 0, 0)
        return head + self._attributes(_FILE)

    def _attributes_of(self, node: int, _: memoryview) -> bytes:
        return _TIMES.pack(_FOREVER_S, 0, 0) + self._attributes(node)

    def _open(self, _: int, __: memoryview) -> bytes:
        return _OPENED.pack(1, 0, 0)

    def _read(self, _: int, request: memoryview) -> bytes:
        _, offset, size, _ = _RANGE.unpack_from(request)
        return os.pread(self._disk, size, offset)

    def _write(self, _: int, request: memoryview) -> bytes:
        _, offset, size, _ = _RANGE.unpack_from(request)
        data = request[_WRITE_HEAD : _WRITE_HEAD + size]
        self._note(RECORD.pack(offset, size) + data)
        done = os.pwrite(self._disk, data, offset)
        assert done == size
        return struct.pack("<II", size, 0)

    def _flush(self, _: int, __: memoryview) -> bytes:
        self._note(RECORD.pack(FLUSH, 0))
        return b""

    def _note(self, record: bytes) -> None:
        assert os.write(self._log, record) == len(record)

    def _nothing(self, _: int, __: memoryview) -> bytes:
        return b""

    def _statfs(self, _: int, __: memoryview) -> bytes:
        return _STATFS.pack(1 << 20, 1 << 20, 1 << 20, 1, 1, 4096, 255, 4096, 0)


def serve(mountpoint: str, disk: Disk) -> None:
    """Mount it, say so, and answer until it is unmounted."""
    kernel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={kernel},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"casemate-test", os.fsencode(mountpoint), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), f"cannot mount {mountpoint}")
    print("mounted", flush=True)
    buffer = memoryview(bytearray(_MAX_WRITE + (64 << 10)))
    while True:
        try:
            size = os.readv(kernel, [buffer])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # unmounted
            if error.errno in (errno.EINTR, errno.ENOENT):
                continue  # whoever asked has given up
            raise
        said = disk.answer(buffer[:size])
        if said is not None:
            os.write(kernel, said)


if __name__ == "__main__":
    serve(sys.argv[1], Disk(sys.argv[2], sys.argv[3]))
