"""Volumes: directories that outlive the containers which mount them.

May import ``database``, ``errors``, ``layer`` and ``linux``.
"""
