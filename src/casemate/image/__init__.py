"""Names and images: an image is a config with its layers; names point at it.

In: references, archives, containers' changes. Out: images that can be run, pushed and saved. An
image's id is the digest of its config. May import ``errors``, ``database``, ``linux``, ``oci``,
``content``, ``registry``, ``layer`` and ``snapshot``.
"""
