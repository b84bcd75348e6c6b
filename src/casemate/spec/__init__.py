"""From an image config, a user's wishes and walls to a runtime spec: pure functions.

In: Options (what this container is asked to be) and a Profile (which walls stand by default). Out:
a RuntimeSpec. May import ``errors``, ``linux``, ``oci`` and ``walls``.
"""
