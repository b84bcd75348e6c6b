"""Networks of containers: addresses, bridges, firewall rules, published ports, name files.

In: what a user asks for, and the container's side of its network namespace: the pid of a process
in it and a netlink socket that was opened inside. Out: values (``Network``, ``Endpoint``), the
kernel configured accordingly, listening sockets, and the text of a container's files.

A published port is an ordinary listening socket of the host: its own INPUT rules hold, loopback
and both IP versions are one mechanism, and no packet is redirected behind the host's back. The
rules here only forbid and masquerade; nothing is accepted on the host's behalf, so a rule of the
host that drops always wins.

May import ``errors``, ``database``, ``linux`` and ``oci``.
"""
