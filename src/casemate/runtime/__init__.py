"""From a runtime spec to a plan: the flat list of steps that puts a container together.

In: a RuntimeSpec, where the root file system comes from, and facts about the host. Out: a Plan, a
pure value that can be printed, compared and executed by the shim. Needs no privilege. May import
``errors``, ``linux``, ``oci``, ``walls`` and ``spec``.
"""
