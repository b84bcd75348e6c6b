"""Root file systems of containers: image layers below, one writable layer above.

In: DiffIDs of layers in a ``LayerStore``, base first. Out: ``RootMount``, the directories that an
overlay is to be made of; who starts a container mounts it in the container's own mount namespace,
so no root file system is visible on the host. May import ``layer`` and what that may.

``snapshots.Snapshotter`` keeps the writable layers, ``contract.Lowers`` makes layers directories:
``erofs`` mounts each layer's tar where it lies, once
for all containers; ``directories`` unpacks each layer once, for kernels that cannot.
"""
