"""A client of container registries: resolve, fetch, push.

In: a reference, a configuration, a keychain. Out: verified documents, chunks of blobs of the
promised length, or an Error. Blocking, for many threads at once: one ``Registry`` is shared by the
layers of a pull. The verbs are functions that take it first.

- ``client``: ``Registry``, the connections and credentials of one operation
- ``manifests``: resolve, describe, fetch and push documents; list tags
- ``blobs``: fetch in chunks; ``download``: fetch into a content store
- ``uploads``: push a blob, or a stream whose digest is not known yet
- ``login``: ask a registry whether credentials are good
- ``config``, ``credentials``: the values that the caller hands in

Every answer is hostile until it is measured: it has a size, a time and a count limit, credentials
go to the host they are for and nowhere else, and nothing falls back to less safety.

May import ``errors``, ``oci`` and ``content``.
"""
