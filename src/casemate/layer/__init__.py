"""Image layers: archives in, mountable layers out; writable directories in, archives out.

In: the bytes of a layer, compressed or not, every one hostile. Out: a ``Layer`` in the store, that
is its uncompressed tar, named by the digest of its bytes (DiffID), beside an EROFS index that makes
it mountable where it lies. May import ``errors``, ``linux`` and ``oci``.

The way of a layer: ``compression`` → ``stream`` → ``tar`` (entries) → ``tree`` (what they add up
to) → ``index`` (EROFS) or ``apply`` (a directory); ``store`` does it all in one pass. The way
back: ``diff`` (a writable directory) → ``write`` (tar) → ``compression``.
"""
