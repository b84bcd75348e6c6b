"""Clients of an engine: where it is, how it is started, and the Python API.

In go an engine's address and what a container shall be, as Python values; out come containers,
their output and files, or the Error that the engine reports. The command uses what is here of the
engine's place and its wire. May import errors and http.
"""
