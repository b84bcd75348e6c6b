"""Netlink sockets: batches with an acknowledgement, single questions, dumps.

A socket works in the network namespace in which it was made, whoever uses it later; that is how
an engine that never changes its namespace configures the inside of a container. Only answers of
the kernel (port 0) are believed: a process with CAP_NET_ADMIN in the namespace may write to any
netlink port there.

Source: man 7 netlink, linux/netlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

NETLINK_ROUTE = 0

# linux/netlink.h
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12

_MSG_TRUNC = int(socket.MSG_TRUNC)  # the enumeration's operators are slow

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERROR = struct.Struct("=i")

_SEQUENCE_MAX = 0xFFFFFFFF
_BUFFER_BYTES = 64 * 1024  # the kernel never builds a larger part of an answer
_DUMP_ATTEMPTS = 16
_ANSWER_TIMEOUT_S = 10  # the kernel answers before send returns; later means that it was lost


class Message(NamedTuple):
    """A request: its type, its flags beyond REQUEST, its body, and what it does, for errors."""

    kind: int
    flags: int
    body: bytes
    what: str


class Reply(NamedTuple):
    """One message of an answer: type, flags, and everything after the netlink header."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """Encode an attribute that holds an unsigned 32-bit number."""
    return struct.pack("=HHI", 8, kind, value)


def text(kind: int, value: str) -> bytes:
    """Encode an attribute that holds a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def nest(kind: int, *inner: bytes) -> bytes:
    """Encode an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(inner))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes of ``data`` from ``offset`` by type; of equal ones the last.

    Raises OSError(EBADMSG) when a length points outside of ``data``.
    """
    found = {}
    end = len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            raise OSError(errno.EBADMSG, "netlink: attribute with a wrong length")
        found[kind & _NLA_TYPE_MASK] = data[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return found


class Socket:
    """A netlink socket; every method may be called from any thread."""

    def __init__(self, protocol: int = NETLINK_ROUTE, *, fd: int | None = None) -> None:
        """Open a socket in this process's namespace, or take over ``fd``, opened in another.

        The descriptor belongs to this object from now on, unless OSError is raised because it is
        not a netlink socket of ``protocol``.
        """
        if fd is None:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
            )
        else:
            self._socket = _adopted(fd, protocol)
        try:
            for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK):
                _set_if_known(self._socket, option)
            self._socket.setblocking(True)
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", _ANSWER_TIMEOUT_S, 0)
            )
        except BaseException:
            self._socket.close()
            raise
        self._lock = threading.Lock()
        self._sequence = 0

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def execute(self, *messages: Message) -> None:
        """Send all messages in one system call and wait until the kernel has done them.

        The kernel goes on after a failure, so this is no transaction. Raises the OSError of the
        first message that failed; its text is what the kernel says about it.
        """
        if not messages:
            return
        with self._lock:
            first = self._send(messages, acknowledge_last=True)
            failed: OSError | None = None
            for sequence, reply in self._answers(first):
                if reply.kind == _NLMSG_ERROR:
                    failed = failed or _failure(reply, messages[sequence - first].what)
                    if sequence == self._sequence:
                        break
        if failed:
            raise failed

    def ask(self, message: Message) -> Reply:
        """Return the one message that answers ``message``, or raise the kernel's OSError."""
        with self._lock:
            first = self._send([message], acknowledge_last=False)
            for _, reply in self._answers(first):
                if reply.kind == _NLMSG_ERROR:
                    raise _failure(reply, message.what) or OSError(
                        errno.ENODATA, f"{message.what}: the kernel sent no answer"
                    )
                return reply
        raise AssertionError("unreachable")

    def dump(self, message: Message) -> list[Reply]:
        """Return all messages of the dump that ``message`` asks for.

        A dump during which the kernel's table changed is asked for again; when it changes all the
        time, raises OSError(EAGAIN).
        """
        request = message._replace(flags=message.flags | NLM_F_DUMP)
        with self._lock:
            for _ in range(_DUMP_ATTEMPTS):
                replies = self._dump_once(request)
                if replies is not None:
                    return replies
        raise OSError(errno.EAGAIN, f"{message.what}: the table changed during every attempt")

    def _dump_once(self, request: Message) -> list[Reply] | None:
        first = self._send([request], acknowledge_last=False)
        replies: list[Reply] = []
        whole = True
        for _, reply in self._answers(first):
            whole = whole and not reply.flags & NLM_F_DUMP_INTR
            if reply.kind in (_NLMSG_DONE, _NLMSG_ERROR):
                failed = _failure(reply, request.what)
                if failed and failed.errno != errno.EINTR:
                    raise failed
                return replies if whole and not failed else None
            replies.append(reply)
        raise AssertionError("unreachable")

    def _send(self, messages: Sequence[Message], *, acknowledge_last: bool) -> int:
        """Send ``messages`` and return the sequence number of the first.

        The kernel always reports an error, so only the last message needs an acknowledgement.
        """
        if self._sequence + len(messages) > _SEQUENCE_MAX:
            self._sequence = 0
        first = self._sequence + 1
        parts = []
        for message in messages:
            self._sequence += 1
            flags = NLM_F_REQUEST | message.flags
            if acknowledge_last and message is messages[-1]:
                flags |= NLM_F_ACK
            length = _HEADER.size + len(message.body)
            parts.append(_HEADER.pack(length, message.kind, flags, self._sequence, 0))
            parts.append(message.body)
            parts.append(bytes(-length % 4))
        self._socket.sendto(b"".join(parts), (0, 0))
        return first

    def _answers(self, first: int) -> Iterator[tuple[int, Reply]]:
        """Yield the kernel's messages whose sequence number lies between ``first`` and ours.

        Others answer requests that were given up. Raises OSError(ETIMEDOUT, ENOBUFS, EMSGSIZE).
        """
        while True:
            try:
                datagram, _, flags, source = self._socket.recvmsg(_BUFFER_BYTES)
            except BlockingIOError as error:
                raise OSError(errno.ETIMEDOUT, "netlink: the kernel's answer was lost") from error
            if source[0] != 0:
                continue
            if flags & _MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, "netlink: an answer larger than the buffer")
            for sequence, reply in _split(datagram):
                if first <= sequence <= self._sequence:
                    yield sequence, reply


def _split(datagram: bytes) -> Iterator[tuple[int, Reply]]:
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size or offset + length > len(datagram):
            raise OSError(errno.EBADMSG, "netlink: message with a wrong length")
        yield sequence, Reply(kind, flags, datagram[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def _failure(reply: Reply, what: str) -> OSError | None:
    """Return the OSError in an ERROR or DONE message; None when it says success."""
    code = -_ERROR.unpack_from(reply.body)[0] if len(reply.body) >= _ERROR.size else 0
    if code <= 0:
        return None
    offset = _ERROR.size
    if reply.kind == _NLMSG_ERROR:
        length = _HEADER.unpack_from(reply.body, offset)[0]
        offset += _HEADER.size if reply.flags & _NLM_F_CAPPED else (length + 3) & ~3
    reason = os.strerror(code)
    if reply.flags & _NLM_F_ACK_TLVS:
        said = attributes(reply.body, offset).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0")
        if said:
            reason = f"{reason}: {said.decode(errors='replace')}"
    return OSError(code, f"{what}: {reason}")


def _adopted(fd: int, protocol: int) -> socket.socket:
    candidate = socket.socket(fileno=fd)
    if candidate.family != socket.AF_NETLINK or candidate.proto != protocol:
        candidate.detach()
        raise OSError(errno.EINVAL, f"descriptor {fd}: not a netlink socket of type {protocol}")
    return candidate


def _set_if_known(target: socket.socket, option: int) -> None:
    """Turn on ``option``; kernels before 4.12 to 4.20 do not know all of them."""
    try:
        target.setsockopt(_SOL_NETLINK, option, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
