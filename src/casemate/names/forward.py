"""Ask the name servers of the host what no container is called. Source: RFC 1035, RFC 5452."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Sequence

_PORT = 53
_WAIT_S = 4.0
_MAX_UDP = 65535
_ID = slice(0, 2)


async def forward(question: bytes, servers: Sequence[str], *, stream: bool) -> bytes | None:
    """Return what the first of ``servers`` that answers says, None when none does.

    The answer has the id of ``question``, whatever the servers were asked with: each question has
    a socket and an id of its own, and what is not an answer to it is not heard.
    """
    for server in servers:
        try:
            async with asyncio.timeout(_WAIT_S):
                answer = await (_by_stream if stream else _by_datagram)(question, server)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            continue
        return question[_ID] + answer[2:]
    return None


async def _by_datagram(question: bytes, server: str) -> bytes:
    loop = asyncio.get_running_loop()
    sent = secrets.token_bytes(2) + question[2:]
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.setblocking(False)
        asked.connect((server, _PORT))  # from elsewhere nothing is heard
        await loop.sock_sendall(asked, sent)
        while True:
            answer = await loop.sock_recv(asked, _MAX_UDP)
            if _answers(sent, answer):
                return answer


async def _by_stream(question: bytes, server: str) -> bytes:
    sent = secrets.token_bytes(2) + question[2:]
    reader, writer = await asyncio.open_connection(server, _PORT)
    try:
        writer.write(len(sent).to_bytes(2, "big") + sent)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = await reader.readexactly(size)
    finally:
        writer.close()
    if not _answers(sent, answer):
        raise ConnectionError(f"{server} answers something else")
    return answer


def _answers(question: bytes, answer: bytes) -> bool:
    """Tell whether it has the id of the question, is an answer, and repeats the question."""
    if len(answer) < 12 or answer[_ID] != question[_ID] or not answer[2] & 0x80:
        return False
    end = 12
    while end < len(question) and question[end]:
        end += question[end] + 1
    return answer[12 : end + 5].lower() == question[12 : end + 5].lower()
