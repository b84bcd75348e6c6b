"""Containers that run a whole system: what was asked, what it implies, and what its end means.

The first process of such a container may call reboot(2), which ends the container by a signal that
tells what was meant. Source: man 2 reboot, Behavior inside PID namespaces.
"""

from __future__ import annotations

import signal

import msgspec

from casemate.engine import policy, security, sharing
from casemate.engine.model import Config, HostConfig
from casemate.engine.policy import Again
from casemate.engine.records import State
from casemate.errors import InvalidArgument
from casemate.walls import systems
from casemate.walls.systems import System

_REBOOT = 128 + signal.SIGHUP
_SHUT_DOWN = 128 + signal.SIGINT


def of(host: HostConfig) -> System | None:
    """Return the system that ``host`` asks for. Raises InvalidArgument for one that is none."""
    name = security.parse(host.security_opt).system
    return None if name is None else systems.named(name)


def check(host: HostConfig, config: Config) -> None:
    """Refuse what a system contradicts. Raises InvalidArgument."""
    if of(host) is None:
        return
    own = sharing.of(host, config).own
    for kind, why in (
        ("pid", "its init is the first process, and may end all others"),
        ("cgroup", "it divides its own cgroups"),
    ):
        if kind not in own:
            raise InvalidArgument(
                f"conflicting options: --system and a {kind} namespace that is not the"
                f" container's own: {why}"
            )
    if host.init:
        raise InvalidArgument("conflicting options: --system and --init: it has an init itself")


def completed(config: Config, host: HostConfig) -> Config:
    """Return ``config`` with how a system is stopped, where it does not say otherwise."""
    system = of(host)
    if system is None:
        return config
    timeout_s = config.stop_timeout
    return msgspec.structs.replace(
        config,
        stop_signal=config.stop_signal or system.stop_signal,
        stop_timeout=system.stop_timeout_s if timeout_s is None else timeout_s,
    )


def environment(host: HostConfig, id_: str) -> tuple[str, ...]:
    """Return what the init of the container ``id_`` finds in its environment.

    The id makes its machine-id, where the image has none: the same for all the container's life,
    and no other's.
    """
    if of(host) is None:
        return ()
    uuid = "-".join((id_[:8], id_[8:12], id_[12:16], id_[16:20], id_[20:32]))
    return systems.ENVIRONMENT, f"container_uuid={uuid}"


def after(host: HostConfig, state: State, code: int, at_ns: int) -> Again | None:
    """Return the restart that follows an end, as ``policy.after`` does for other containers.

    Who has called reboot(2) is started again whatever the policy, unless the end is that of the
    container (``--rm``) or somebody wanted it.
    """
    if of(host) and code == _REBOOT and not state.stopped and not host.auto_remove:
        return policy.again(state, at_ns)
    if shut_down(host, code):
        return None
    return policy.after(host.restart_policy, state, code, at_ns)


def shut_down(host: HostConfig, code: int) -> bool:
    """Tell whether a run has ended because it was shut down from inside: somebody wanted that."""
    return of(host) is not None and code == _SHUT_DOWN
