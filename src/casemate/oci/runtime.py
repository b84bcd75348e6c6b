"""The OCI runtime spec: what a bundle's config.json says about one container.

Source: runtime-spec v1.2 config.md and config-linux.md. Only the parts that casemate executes are
here; a document from elsewhere that asks for more is refused by the reader, not ignored.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VERSION = "1.2.0"


class _Struct(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    pass


class User(_Struct, frozen=True):
    """Numeric identity inside the container."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Capabilities(_Struct, frozen=True):
    """The five sets, as names like ``CAP_CHOWN``."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(_Struct, frozen=True):
    """One resource limit; ``type`` is like ``RLIMIT_NOFILE``, -1 stands for no limit."""

    type: str
    soft: int
    hard: int


class ConsoleSize(_Struct, frozen=True):
    """Size of the terminal in characters."""

    height: int
    width: int


class Process(_Struct, frozen=True):
    """What runs in the container, and as whom."""

    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: User = User()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""


class Root(_Struct, frozen=True):
    """The root file system; ``path`` is absolute or relative to the bundle."""

    path: str
    readonly: bool = False


class Mount(_Struct, frozen=True):
    """One mount; ``options`` as mount(8) spells them."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


NamespaceKind = Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]


class Namespace(_Struct, frozen=True):
    """A namespace to make, or to join when ``path`` is given."""

    type: NamespaceKind
    path: str = ""


class IdMapping(_Struct, frozen=True, rename={"container_id": "containerID", "host_id": "hostID"}):
    """``size`` ids from ``container_id`` appear on the host from ``host_id``."""

    container_id: int
    host_id: int
    size: int


class Device(_Struct, frozen=True):
    """A device node to make; ``type`` is c, b, u or p."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class DeviceRule(_Struct, frozen=True):
    """One rule of the device cgroup; None stands for every number."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Memory(_Struct, frozen=True):
    """Memory limits in bytes; None leaves the kernel's default, -1 lifts the limit."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = msgspec.field(default=None, name="disableOOMKiller")


class Cpu(_Struct, frozen=True):
    """CPU limits; quota and period in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str = ""
    mems: str = ""


class Pids(_Struct, frozen=True):
    """At most ``limit`` tasks; -1 lifts the limit."""

    limit: int


class ThrottleDevice(_Struct, frozen=True):
    """At most ``rate`` bytes or operations a second to or from one block device."""

    major: int
    minor: int
    rate: int


class WeightDevice(_Struct, frozen=True):
    """Which part of one busy block device, from 10 to 1000."""

    major: int
    minor: int
    weight: int


class BlockIo(
    _Struct,
    frozen=True,
    rename={
        "read_bps": "throttleReadBpsDevice",
        "write_bps": "throttleWriteBpsDevice",
        "read_iops": "throttleReadIOPSDevice",
        "write_iops": "throttleWriteIOPSDevice",
        "weight_device": "weightDevice",
    },
):
    """Limits and weights of block devices."""

    read_bps: tuple[ThrottleDevice, ...] = ()
    write_bps: tuple[ThrottleDevice, ...] = ()
    read_iops: tuple[ThrottleDevice, ...] = ()
    write_iops: tuple[ThrottleDevice, ...] = ()
    weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()


class HugepageLimit(_Struct, frozen=True):
    """At most ``limit`` bytes of huge pages whose size is called ``page_size``, like ``2MB``."""

    page_size: str
    limit: int


class Resources(_Struct, frozen=True):
    """What the cgroup enforces."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIo | None = msgspec.field(default=None, name="blockIO")
    hugepage_limits: tuple[HugepageLimit, ...] = ()


class SyscallArg(_Struct, frozen=True):
    """A condition on one argument of a system call; ``op`` is like ``SCMP_CMP_EQ``."""

    index: int
    value: int
    op: str
    value_two: int = 0


class SyscallRule(_Struct, frozen=True):
    """What happens to the calls ``names`` when all ``args`` match."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SyscallArg, ...] = ()


class Seccomp(_Struct, frozen=True):
    """A seccomp filter; actions are like ``SCMP_ACT_ERRNO``, architectures ``SCMP_ARCH_X86_64``."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    syscalls: tuple[SyscallRule, ...] = ()


class Linux(_Struct, frozen=True):
    """The Linux part of a runtime spec."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""


class RuntimeSpec(_Struct, frozen=True):
    """One container, ready to be put together."""

    process: Process
    root: Root
    oci_version: str = VERSION
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    annotations: dict[str, str] = {}
    linux: Linux = Linux()
