"""nftables through libnftables and its JSON language, or through the ``nft`` program.

One call is one transaction: the kernel takes all commands or none. Nothing is ever interpreted
from text, so a name cannot smuggle a rule.

Source: man 5 libnftables-json, man 3 libnftables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from casemate.errors import Unsupported
from casemate.linux.descriptors import among_few

# A command or an object of libnftables-json: the one place where a value may be any JSON.
Command = dict[str, Any]

_LIBRARY = "libnftables.so.1"
_PROGRAMS = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")
_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON, nftables/libnftables.h
_ERRORS = (errno.ENOENT, errno.EEXIST, errno.EPERM, errno.EBUSY, errno.EOPNOTSUPP, errno.EINVAL)
_PROGRAM_TIMEOUT_S = 30

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NFNLGRP_NFTABLES = 7  # linux/netfilter/nfnetlink.h


class Nftables(Protocol):
    """A way to the kernel's nftables of this process's network namespace."""

    def execute(self, commands: Sequence[Command]) -> list[Command]:
        """Run ``commands`` as one transaction and return the objects that they list.

        Raises OSError with the kernel's errno where it is known (ENOENT for a missing table,
        EOPNOTSUPP for an expression that this kernel lacks), and the complaint as text.
        """


def connect() -> Nftables:
    """Return the library, or else the program; raises Unsupported when neither is installed."""
    try:
        return Library()
    except OSError:
        for path in _PROGRAMS:
            if os.access(path, os.X_OK):
                return Program(path)
    raise Unsupported(
        f"cannot use nftables: neither {_LIBRARY} nor the nft program is installed",
        hint="install the package libnftables1 (Debian, Ubuntu) or nftables (others)",
    )


def watch() -> socket.socket:
    """Return a socket that becomes readable when anybody changes rules in this namespace.

    What is read is of no use; drain it (EAGAIN, or ENOBUFS when much changed), then look.
    """
    watcher = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER
    )
    try:
        watcher.bind((0, 0))
        watcher.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        watcher.setblocking(False)
    except BaseException:
        watcher.close()
        raise
    return watcher


class Library:
    """libnftables in this process: about 0.1 ms for a rule, no process started."""

    def __init__(self) -> None:
        """Load the library; raises OSError when it is not there or not usable."""
        self._library = library = ctypes.CDLL(_LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for function in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, function).argtypes = [ctypes.c_void_p]
        for function in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, function).argtypes = [ctypes.c_void_p]
            getattr(library, function).restype = ctypes.c_char_p
        self._lock = threading.Lock()

    def execute(self, commands: Sequence[Command]) -> list[Command]:
        """Run ``commands``; see ``Nftables``."""
        return among_few(lambda: self._execute(commands))  # the library uses select(2)

    def _execute(self, commands: Sequence[Command]) -> list[Command]:
        library = self._library
        with self._lock:
            # A context belongs to the namespace in which it was made, and keeps a cache that
            # others make stale: a new one for each transaction.
            context = library.nft_ctx_new(0)
            if not context:
                raise OSError(errno.ENOMEM, "libnftables: cannot make a context")
            try:
                library.nft_ctx_buffer_output(context)
                library.nft_ctx_buffer_error(context)
                library.nft_ctx_output_set_flags(context, _OUTPUT_JSON)
                failed = library.nft_run_cmd_from_buffer(context, _encode(commands))
                output = library.nft_ctx_get_output_buffer(context)
                complaint = library.nft_ctx_get_error_buffer(context)
            finally:
                library.nft_ctx_free(context)
        if failed:
            raise _failure(complaint or b"")
        return _decode(output or b"")


class Program:
    """The ``nft`` program, where the library is missing: one process for each transaction."""

    def __init__(self, path: str) -> None:
        """Use the program at the absolute ``path``."""
        self._path = path

    def execute(self, commands: Sequence[Command]) -> list[Command]:
        """Run ``commands``; see ``Nftables``."""
        try:
            done = subprocess.run(
                [self._path, "-j", "-f", "-"],
                input=_encode(commands),
                capture_output=True,
                env={"LC_ALL": "C"},
                cwd="/",
                timeout=_PROGRAM_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError(errno.ETIMEDOUT, f"nftables: {self._path} does not end") from error
        if done.returncode:
            raise _failure(done.stderr)
        return _decode(done.stdout)


def _encode(commands: Sequence[Command]) -> bytes:
    return msgspec.json.encode({"nftables": commands})


def _decode(output: bytes) -> list[Command]:
    # A transaction with several lists answers with one document for each, a line apiece.
    found: list[Command] = []
    for line in output.splitlines():
        if line.strip():
            document = msgspec.json.decode(line, type=dict[str, list[Command]])
            found.extend(item for item in document["nftables"] if "metainfo" not in item)
    return found


def _failure(complaint: bytes) -> OSError:
    lines = [line for line in complaint.decode(errors="replace").splitlines() if line.strip()]
    said = lines[0].partition("Error: ")[2] or lines[0] if lines else "no reason given"
    code = next((code for code in _ERRORS if said.endswith(os.strerror(code))), errno.EINVAL)
    return OSError(code, f"nftables: {said}")
