"""Containers and execs of many kinds, on a host that is always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from casemate.oci.runtime import ConsoleSize, Device, Mount, Rlimit
from casemate.runtime.namespaces import container as containers
from casemate.runtime.namespaces import execute as executions
from casemate.runtime.namespaces.cgroup import CgroupView
from casemate.runtime.namespaces.container import Container, Host
from casemate.runtime.namespaces.execute import Execution
from casemate.runtime.plan import Plan, Stdio
from casemate.snapshot.mounts import RootMount
from casemate.spec.identity import Identity
from casemate.spec.make import make, process
from casemate.spec.options import Options
from casemate.walls import capabilities, landlock, profiles, systems
from casemate.walls.profiles import Profile
from casemate.walls.seccomp_filter import Filter

V1 = CgroupView(hierarchies=(("memory", ("memory",)), ("cpu,cpuacct", ("cpu", "cpuacct"))))
HYBRID = CgroupView(hierarchies=(*V1.hierarchies, ("systemd", ("none", "name=systemd"))))
V2 = CgroupView(unified=True)

HOST = Host(
    root_place="/run/engine/room",
    overlay_layers=True,
    cgroups=V2,
    default_devices=profiles.CONTAINER.devices,
)
HYBRID_HOST = HOST._replace(cgroups=HYBRID)
ROOT = RootMount(("/layers/2", "/layers/1"), "/snapshots/a/upper", "/snapshots/a/work")
FILTER = Filter(0, bytes(8) * 3)
PROFILE = profiles.CONTAINER._replace(
    masked_paths=("/proc/kcore", "/sys/firmware"), readonly_paths=("/proc/sys",)
)
SANDBOX = profiles.SANDBOX._replace(masked_paths=(), readonly_paths=())
OPTIONS = Options(
    args=("sh", "-c", "echo hello"),
    env=("PATH=/bin", "HOME=/root"),
    cwd="/work",
    user=Identity(0, 0, (0,), "/root"),
    hostname="box",
    capabilities=("CAP_CHOWN", "CAP_NET_BIND_SERVICE"),
)


def container(
    options: Options = OPTIONS,
    profile: Profile = PROFILE,
    host: Host = HOST,
    **more: object,
) -> Plan:
    """Return the plan of a container."""
    fields: dict[str, object] = {"root": ROOT, "seccomp": FILTER, **more}
    spec = make(options, profile)
    return containers.plan(Container(spec=spec, **fields), host)  # type: ignore[arg-type]


def execution(options: Options = OPTIONS, **more: object) -> Plan:
    """Return the plan of an exec."""
    described = Execution(
        process=process(options, PROFILE),
        namespaces=options.namespaces,
        procs=("/sys/fs/cgroup/a/cgroup.procs",),
        seccomp=FILTER,
    )
    return executions.plan(described._replace(**more))  # type: ignore[arg-type]


def _privileged() -> Plan:
    available = ("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_NET_ADMIN")
    profile = profiles.privileged(PROFILE, available)
    names = capabilities.choose((), (), (), privileged=True, available=available)
    return container(OPTIONS._replace(capabilities=names), profile, seccomp=None)


def _binds() -> Plan:
    mounts = (
        Mount("/data", "bind", "/srv/data", ("rbind", "rprivate", "ro")),
        Mount("/data/deeper", "bind", "/srv/deeper", ("rbind", "rslave")),
        Mount("/shared", "bind", "/srv/shared", ("rbind", "rshared")),
        Mount("/etc/hosts", "bind", "/state/hosts", ("rbind", "rprivate")),
        Mount("/flat", "bind", "/srv/flat", ("bind", "private", "nosuid", "rro")),
        Mount("/proc/meminfo", "bind", "/lxcfs/meminfo", ("rbind", "rprivate")),
    )
    directories = {"/state/hosts": False, "/lxcfs/meminfo": False}
    return container(OPTIONS._replace(mounts=mounts), directories=directories)


def _devices() -> Plan:
    devices = (
        Device("/dev/fuse", "c", 10, 229, 0o666),
        Device("/dev/net/tun", "c", 10, 200, 0o660, 0, 44),
        Device("/dev/disk0", "b", 8, 0, 0o640, 5, 6),
        Device("/dev/pipe", "p"),
    )
    return container(OPTIONS._replace(devices=devices))


USER = Identity(1000, 1001, (1001, 5), "/home/u")

CASES: dict[str, Callable[[], Plan]] = {
    "default": container,
    "terminal": lambda: container(
        OPTIONS._replace(terminal=True, console_size=ConsoleSize(50, 132)),
        stdio=Stdio(tty=True, stdin=True),
    ),
    "privileged": _privileged,
    "readonly_root": lambda: container(OPTIONS._replace(readonly_root=True)),
    "lower_only": lambda: container(root=RootMount(("/layers/2", "/layers/1"))),
    "volatile": lambda: container(root=ROOT._replace(volatile=True)),
    "binds": _binds,
    "tmpfs": lambda: container(
        OPTIONS._replace(
            mounts=(Mount("/t", "tmpfs", "tmpfs", ("noexec", "size=1m", "mode=1777")),)
        )
    ),
    "sysctls": lambda: container(
        OPTIONS._replace(
            sysctls=(
                ("net.ipv6.conf.default.accept_dad", "0"),
                ("net.core.somaxconn", "1024"),
                ("kernel.shmmax", "1"),
            )
        )
    ),
    "devices": _devices,
    "user": lambda: container(OPTIONS._replace(user=USER, no_new_privileges=True)),
    "limits": lambda: container(
        OPTIONS._replace(
            rlimits=(Rlimit("RLIMIT_NOFILE", 1024, 4096), Rlimit("RLIMIT_CORE", 0, -1)),
            oom_score_adj=500,
        )
    ),
    "init": lambda: container(init=True),
    "host_network": lambda: container(
        OPTIONS._replace(namespaces=OPTIONS.namespaces - {"network"}, hostname="")
    ),
    "joined_network": lambda: container(
        OPTIONS._replace(
            namespaces=OPTIONS.namespaces - {"network"}, joined=(("network", "/proc/7/ns/net"),)
        )
    ),
    "old_kernel": lambda: container(host=HOST._replace(overlay_layers=False)),
    "cgroup_v1": lambda: container(host=HOST._replace(cgroups=V1)),
    "cgroup_hybrid": lambda: container(host=HOST._replace(cgroups=HYBRID)),
    "exec": execution,
    "exec_user": lambda: execution(OPTIONS._replace(user=USER)),
    "exec_terminal": lambda: execution(
        OPTIONS._replace(terminal=True, console_size=ConsoleSize(24, 80)),
        stdio=Stdio(tty=True, stdin=True, log=False),
    ),
    "exec_host_network": lambda: execution(
        OPTIONS._replace(namespaces=OPTIONS.namespaces - {"network"}), seccomp=None
    ),
}


#: In a user namespace whose root is this user of the host.
MAPPED = OPTIONS._replace(namespaces=OPTIONS.namespaces | {"user"}, first_id=1 << 31)


def _mapped_binds() -> Plan:
    mounts = (
        Mount("/etc/hosts", "bind", "/state/hosts", ("rbind", "rprivate", "idmap")),
        Mount("/plain", "bind", "/srv/plain", ("rbind", "rslave", "rro")),
    )
    options = MAPPED._replace(mounts=mounts, oom_score_adj=5, user=USER)
    devices = (Device("/dev/net/tun", "c", 10, 200, 0o660, 0, 44),)
    return container(options._replace(devices=devices), directories={"/state/hosts": False})


def _sandbox() -> Plan:
    spec = make(MAPPED, SANDBOX)
    found = landlock.rules(spec, {}, network=False, version=7)
    return container(MAPPED, SANDBOX, landlock=found)


def _shared_memory() -> Plan:
    """Return the plan of a container that shares another's messages, memory and network."""
    joined = (("ipc", "/proc/7/ns/ipc"), ("network", "/proc/7/ns/net"))
    shm = Mount("/dev/shm", "bind", "/dev/shm", ("rbind", "rprivate", "nosuid"))
    options = OPTIONS._replace(
        namespaces=OPTIONS.namespaces - {"ipc", "network"}, joined=joined, mounts=(shm,)
    )
    return container(options, borrowed={"/dev/shm": "ipc"})


CASES |= {
    "mapped": lambda: container(MAPPED),
    "mapped_binds": _mapped_binds,
    "mapped_exec": lambda: execution(MAPPED),
    "sandbox": _sandbox,
    "shared_memory": _shared_memory,
    "system": lambda: container(OPTIONS, systems.on(PROFILE, systems.SYSTEMD), HYBRID_HOST),
    "system_mapped": lambda: container(MAPPED, systems.on(SANDBOX, systems.SYSTEMD), HYBRID_HOST),
}


def plans() -> Iterator[tuple[str, Plan]]:
    """Yield every case with its plan."""
    for name, make_plan in CASES.items():
        yield name, make_plan()
