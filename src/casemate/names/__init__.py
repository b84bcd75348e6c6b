"""The name server of an engine's networks: a process of its own, which outlives the engine.

The engine tells it who is on which network, and gives it sockets that it has opened inside each
container's network. May import ``errors``.
"""
