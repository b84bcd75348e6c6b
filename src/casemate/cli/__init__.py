"""The ``casemate`` command: docker's verbs, options, output and exit codes, as a client of the API.

In goes a command line, out come requests to one engine's socket, text, and an exit status. May
import ``errors``, ``http`` and the standard library. A command's module is imported when the
command is called, and what start-up cannot afford (``typing``, ``re``, ``socket``, ``json`` …) only
where it is used: ``casemate ps`` has to start faster than a container.
"""
