"""What is measured. A scenario is a function from the peers to a Result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.interleave import Effort
from bench.result import Result
from bench.roster import Roster
from bench.scenarios import crowd, execs, first, pool, shell, starts, stream, transfers

Scenario = Callable[[Roster, Effort], Result]

SCENARIOS: Mapping[str, Scenario] = {
    "start": starts.without_network,
    "start-bridge": starts.with_bridge,
    "shell": shell.run,
    "exec": execs.run,
    "pull": transfers.pull,
    "load": transfers.load,
    "push": transfers.push,
    "first": first.run,
    "pool": pool.run,
    "crowd": crowd.without_network,
    "crowd-bridge": crowd.with_bridge,
    "stream": stream.without_network,
    "stream-bridge": stream.with_bridge,
}
