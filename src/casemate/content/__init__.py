"""Blobs by digest: write, read, lease, collect, check.

In: bytes whose digest is known before (resumable, verified as a whole) or only afterwards. Out:
files under ``blobs/<algorithm>/<hex>`` that never change. What nothing refers to and no lease
protects is removed by ``collect``; which blob refers to which is the caller's knowledge.

- ``store``: ``ContentStore``, the directory; ``put`` for small documents
- ``ingest``: one blob being written
- ``lease``: protects digests until what refers to them is recorded
- ``collect``: mark and sweep
- ``fsck``: every file against the rules

May import ``errors``, ``linux``, ``oci`` and ``database``.
"""
