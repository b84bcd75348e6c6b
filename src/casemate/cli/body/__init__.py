"""The options of ``run`` and ``create`` as the body of a create request, as docker sends it.

Each module turns one family of options into its part of the body. Nothing is decided here that the
engine can decide; what cannot be expressed in the body is refused with the option's name. Source:
Docker Engine API v1.47, ContainerCreate.
"""
