"""What is in force for a container where nothing was asked: as clients read it from inspect."""

from __future__ import annotations

import msgspec

from casemate.engine import sharing, translate
from casemate.engine.model import Config, HostConfig, LogConfig, RestartPolicy
from casemate.walls.machine import Machine
from casemate.walls.standard import SHM_BYTES


def host_config(host: HostConfig, config: Config, machine: Machine) -> HostConfig:
    """Return ``host`` with what its profile and the engine have chosen."""
    shared = sharing.of(host, config)
    profile = translate.profile_of(host, machine)
    policy, log = host.restart_policy, host.log_config
    masked, readonly = host.masked_paths, host.readonly_paths
    return msgspec.structs.replace(
        host,
        network_mode=shared.network,
        ipc_mode=shared.ipc,
        cgroupns_mode=shared.cgroup,
        log_config=LogConfig(log.type or "json-file", log.config),
        restart_policy=RestartPolicy(policy.name or "no", policy.maximum_retry_count),
        runtime=host.runtime or "casemate",
        shm_size=host.shm_size or SHM_BYTES,
        readonly_rootfs=translate.readonly_root(host, machine),
        masked_paths=_paths(masked, profile.masked_paths),
        readonly_paths=_paths(readonly, profile.readonly_paths),
    )


def _paths(asked: list[str] | None, usual: tuple[str, ...]) -> list[str] | None:
    """Return the paths that are covered; None, not an empty list, where there is no wall."""
    return (list(usual) or None) if asked is None else asked
