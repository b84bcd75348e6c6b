"""The use cases: what can be asked of an engine, the state machine, the records, recovery.

In: requests as typed values. Out: records and events. Uses every room below it through their public
names; knows nothing of HTTP. May import everything but ``api``, ``cli`` and ``daemon``.
"""
