"""The Docker Engine API over the engine's use cases: a file for each resource.

In: HTTP requests, checked and turned into typed values. Out: JSON as Docker's clients know it.
Holds no state of its own. May import ``errors``, ``http``, ``oci`` and ``engine`` with what that
offers.
"""
