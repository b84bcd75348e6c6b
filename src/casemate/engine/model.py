"""What a container is asked to be: the engine's own words are those of the Docker Engine API.

Source: Docker Engine API v1.47, definitions ContainerConfig, HostConfig, Resources,
EndpointSettings. Every field is here, so that ``inspect`` gives back what was asked;
``unsupported.py`` refuses by name the ones that are not executed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.oci.image import Healthcheck


class _Struct(msgspec.Struct, frozen=True, rename="pascal"):
    pass


class Config(_Struct, frozen=True):
    """The portable part: what would be the same on another host."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | str | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


class LogConfig(_Struct, frozen=True):
    """Which log driver, and its options."""

    type: str = ""
    config: dict[str, str] | None = None


class RestartPolicy(_Struct, frozen=True):
    """What to do when the container ends."""

    name: str = ""
    maximum_retry_count: int = 0


class PortBinding(_Struct, frozen=True):
    """Where on the host a port is published."""

    host_ip: str = msgspec.field(default="", name="HostIp")
    host_port: str = ""


class Ulimit(_Struct, frozen=True):
    """A resource limit by its short name."""

    name: str = ""
    soft: int = 0
    hard: int = 0


class ThrottleDevice(_Struct, frozen=True):
    """The most that goes to or from a block device in a second: bytes, or operations."""

    path: str = ""
    rate: int = 0


class WeightDevice(_Struct, frozen=True):
    """Which part of a busy block device, from 10 to 1000."""

    path: str = ""
    weight: int = 0


class HugepageLimit(_Struct, frozen=True):
    """How many bytes of huge pages of one size. Source: runtime-spec v1.2 config-linux.md."""

    page_size: str = ""
    limit: int = 0


class DeviceMapping(_Struct, frozen=True):
    """A device of the host, inside the container."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class BindOptions(_Struct, frozen=True):
    """Of a mount of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class TmpfsOptions(_Struct, frozen=True):
    """Of a mount of type tmpfs. ``mode`` is a number, not its octal digits."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class DriverConfig(_Struct, frozen=True):
    """The driver of a volume, and what it is told."""

    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(_Struct, frozen=True):
    """Of a mount of type volume."""

    no_copy: bool = False
    labels: dict[str, str] | None = None
    driver_config: DriverConfig = DriverConfig()
    subpath: str = ""


class VolumeRequest(_Struct, frozen=True):
    """The body of a volume's creation."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, Any] | None = None


class MountSpec(_Struct, frozen=True):
    """One entry of ``--mount``."""

    type: str = "volume"
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: dict[str, Any] | None = None
    tmpfs_options: TmpfsOptions | None = None
    cluster_options: dict[str, Any] | None = None


class HostConfig(_Struct, frozen=True):
    """The part that depends on this host. Sizes are in bytes, CPU times in microseconds."""

    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    mounts: list[MountSpec] | None = None
    console_size: tuple[int, int] = (0, 0)
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    # Resources
    cpu_shares: int = 0
    memory: int = 0
    cgroup_parent: str = ""
    group: str = ""  # ours
    on_unhealthy: str = ""  # ours
    hugepage_limits: list[HugepageLimit] | None = None  # ours
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[dict[str, Any]] | None = None
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    nano_cpus: int = 0
    oom_kill_disable: bool | None = None
    init: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = msgspec.field(default=0, name="IOMaximumBandwidth")


class EndpointAddresses(_Struct, frozen=True):
    """The addresses that somebody chose for a container on a network."""

    ipv4_address: str = msgspec.field(default="", name="IPv4Address")
    ipv6_address: str = msgspec.field(default="", name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointSettings(_Struct, frozen=True):
    """How to join a network. What is below ``mac_address`` is told to clients, never asked for,
    and sent back by some of them.
    """

    ipam_config: EndpointAddresses | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    mac_address: str = ""
    network_id: str = msgspec.field(default="", name="NetworkID")
    endpoint_id: str = msgspec.field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = msgspec.field(default="", name="IPAddress")
    ip_prefix_len: int = msgspec.field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = msgspec.field(default="", name="IPv6Gateway")
    global_ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = msgspec.field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = msgspec.field(default=None, name="DNSNames")
    gw_priority: int = 0


class NetworkingConfig(_Struct, frozen=True):
    """Which networks to join, and how."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class SubnetConfig(_Struct, frozen=True):
    """A subnet of a new network."""

    subnet: str = ""
    ip_range: str = msgspec.field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class AddressManagement(_Struct, frozen=True):
    """Where the addresses of a new network come from."""

    driver: str = ""
    options: dict[str, str] | None = None
    config: list[SubnetConfig] | None = None


class NetworkCreate(_Struct, frozen=True):
    """The body of a network's creation."""

    name: str = ""
    driver: str = ""
    check_duplicate: bool = False
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: dict[str, str] | None = None
    ipam: AddressManagement | None = msgspec.field(default=None, name="IPAM")
    enable_ipv4: bool | None = msgspec.field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = msgspec.field(default=None, name="EnableIPv6")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkConnect(_Struct, frozen=True):
    """The body of a connect request."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(_Struct, frozen=True):
    """The body of a disconnect request."""

    container: str = ""
    force: bool = False


class CreateRequest(Config, frozen=True, rename="pascal"):
    """The body of a create request: a Config with its HostConfig beside."""

    host_config: HostConfig = HostConfig()
    networking_config: NetworkingConfig | None = None


def config_of(request: CreateRequest) -> Config:
    """Return the Config part of ``request``."""
    return Config(**{name: getattr(request, name) for name in Config.__struct_fields__})


def arguments(value: list[str] | str | None) -> list[str] | None:
    """Return a command as a list: the API takes a single string as well."""
    return [value] if isinstance(value, str) else value
