"""HTTP for the engine and its clients: a server that can be hijacked, and a small blocking client.

The server is asyncio over httptools; the client is plain sockets, since the CLI pays for every
import. May import ``errors``.
"""
