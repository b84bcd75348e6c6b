"""Benchmarks: what a container costs here, beside dockerd, runc, crun, podman and the kernel.

``bench/run`` is the program; docs/benchmarks.md tells the method. Results are figures, never
assertions. Everything runs in namespaces of its own (lab.py), each peer under an ancestor that
counts its processor time (reaper.py), all in turns (interleave.py).
"""
