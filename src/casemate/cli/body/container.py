"""The whole body of a create request."""

from __future__ import annotations

from casemate.cli.body import limits, networks
from casemate.cli.body.addresses import canonical, extra_host, search_domain
from casemate.cli.body.environment import environment, labels, pairs
from casemate.cli.output import err, terminal_size
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from casemate.cli.arguments import Arguments

_STREAMS = ("stdin", "stdout", "stderr")
_DEVICE_OPTIONS = (
    *("blkio-weight-device", "device", "device-cgroup-rule", "device-read-bps"),
    *("device-read-iops", "device-write-bps", "device-write-iops", "gpus"),
)
_ELSEWHERE = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni",
                 "shm_rmid_forced")
)  # fmt: skip


def container_body(arguments: Arguments, proxies: Mapping[str, str]) -> dict[str, Any]:
    """Return the body for the options and ``IMAGE [COMMAND] [ARG...]``.

    What turns a family of options into its part is imported when one of them is given.

    Raises BadUsage for a value that breaks the rule of its option, InvalidArgument for options
    that contradict each other.
    """
    _refuse_what_cannot_be_done(arguments)
    config = _config(arguments, proxies)
    host = _host_config(arguments)
    if arguments.given("volume"):
        from casemate.cli.body.volumes import binds

        bound, config["Volumes"] = binds(arguments.items("volume"))
        host["Binds"] = bound or None
    if arguments.given("publish") or arguments.given("expose"):
        from casemate.cli.body.portspecs import exposed, published

        host["PortBindings"] = published(arguments.items("publish"))
        ports = [*host["PortBindings"], *exposed(arguments.items("expose"))]
        config["ExposedPorts"] = {port: {} for port in ports}
    attached = networks.attachments(arguments)
    host["NetworkMode"] = attached[0].target if attached else "default"
    endpoints = networks.endpoints(attached, arguments)
    return config | {
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }


def _refuse_what_cannot_be_done(arguments: Arguments) -> None:
    if arguments.given("use-api-socket"):
        raise InvalidArgument("--use-api-socket is not supported")
    if not arguments.switch("disable-content-trust"):
        raise InvalidArgument(
            "--disable-content-trust=false is not supported: images are verified by their digests"
        )
    for name in _ELSEWHERE:
        if arguments.given(name):
            raise InvalidArgument(f"--{name} is only supported on Windows")
    if arguments.given("kernel-memory"):
        err("WARNING: --kernel-memory is ignored: kernels have no such limit any more\n")


def _config(arguments: Arguments, proxies: Mapping[str, str]) -> dict[str, Any]:
    image, *command = arguments.rest
    attach = _attach(arguments)
    stdin = arguments.switch("interactive")
    entrypoint = [arguments.text("entrypoint")] if arguments.given("entrypoint") else None
    config: dict[str, Any] = {
        "Hostname": arguments.text("hostname"),
        "Domainname": arguments.text("domainname"),
        "User": arguments.text("user"),
        "AttachStdin": stdin or "stdin" in attach,
        "AttachStdout": not attach or "stdout" in attach,
        "AttachStderr": not attach or "stderr" in attach,
        "Tty": arguments.switch("tty"),
        "OpenStdin": stdin,
        # A container's stdin is closed when the one who feeds it goes away.
        "StdinOnce": stdin,
        "Env": environment(arguments, proxies) or None,
        "Cmd": command or None,
        "Image": image,
        "WorkingDir": arguments.text("workdir"),
        "Entrypoint": entrypoint,
        "OnBuild": None,
        "Volumes": {},
        "Labels": labels(arguments),
    }
    if signal := arguments.text("stop-signal"):
        config["StopSignal"] = signal
    if arguments.given("stop-timeout"):
        config["StopTimeout"] = arguments.number("stop-timeout")
    if health := limits.healthcheck(arguments):
        config["Healthcheck"] = health
    return config


def _host_config(arguments: Arguments) -> dict[str, Any]:
    host: dict[str, Any] = {
        "Binds": None,
        "PortBindings": {},
        "ContainerIDFile": arguments.text("cidfile"),
        "LogConfig": _logging(arguments),
        "RestartPolicy": _restart(arguments),
        "AutoRemove": arguments.switch("rm"),
        "VolumeDriver": arguments.text("volume-driver"),
        "VolumesFrom": arguments.items("volumes-from") or None,
        "ConsoleSize": list(terminal_size()),
        "CapAdd": _capabilities(arguments.items("cap-add")),
        "CapDrop": _capabilities(arguments.items("cap-drop")),
        "CgroupnsMode": arguments.text("cgroupns"),
        "Dns": _each(arguments, "dns", canonical),
        "DnsOptions": arguments.items("dns-option"),
        "DnsSearch": _each(arguments, "dns-search", search_domain),
        "ExtraHosts": _each(arguments, "add-host", extra_host) or None,
        "GroupAdd": arguments.items("group-add") or None,
        "IpcMode": arguments.text("ipc"),
        "Cgroup": "",
        "Links": _each(arguments, "link", _link) or None,
        "OomScoreAdj": arguments.number("oom-score-adj"),
        "PidMode": arguments.text("pid"),
        "Privileged": arguments.switch("privileged"),
        "PublishAllPorts": arguments.switch("publish-all"),
        "ReadonlyRootfs": arguments.switch("read-only"),
        "UTSMode": arguments.text("uts"),
        "UsernsMode": arguments.text("userns"),
        "ShmSize": limits.size(arguments, "shm-size"),
        "Isolation": arguments.text("isolation"),
        **limits.resources(arguments),
        **_devices(arguments),
        **_security(arguments),
    }
    return host | _optional(arguments)


def _devices(arguments: Arguments) -> dict[str, Any]:
    if any(map(arguments.given, _DEVICE_OPTIONS)):
        from casemate.cli.body.devices import device_config

        return device_config(arguments)
    names = ("WeightDevice", "DeviceReadBps", "DeviceWriteBps", "DeviceReadIOps", "DeviceWriteIOps")
    lists: dict[str, Any] = {f"Blkio{name}": [] for name in names}
    return lists | {"Devices": [], "DeviceCgroupRules": None, "DeviceRequests": None}


def _security(arguments: Arguments) -> dict[str, Any]:
    more = [f"system={arguments.text('system')}"] if arguments.given("system") else []
    if arguments.given("read-only") and not arguments.switch("read-only"):
        # The API has no word for a root that is not to be read-only though the profile says so.
        more.append("read-only=false")
    if not arguments.given("security-opt"):
        paths = dict.fromkeys(("MaskedPaths", "ReadonlyPaths"))
        return {"SecurityOpt": more or None, **paths}
    from casemate.cli.body.security import security_options

    options, unmasked = security_options([*arguments.items("security-opt"), *more])
    shown: list[str] | None = [] if unmasked else None
    return {"SecurityOpt": options, "MaskedPaths": shown, "ReadonlyPaths": shown}


def _capabilities(texts: list[str]) -> list[str] | None:
    """Return capabilities by their full names, sorted, each one once; None for none."""
    names = {text.upper() for text in texts}
    full = {n if n == "ALL" or n.startswith("CAP_") else f"CAP_{n}" for n in names}
    return sorted(full) or None


def _mounts(arguments: Arguments) -> list[Any]:
    if not arguments.given("mount"):
        return []
    from casemate.cli.body.volumes import mount

    return _each(arguments, "mount", mount)


def _tmpfs(texts: list[str]) -> dict[str, str]:
    split = (text.partition(":") for text in texts)
    return {path: options for path, _, options in split}


def _optional(arguments: Arguments) -> dict[str, Any]:
    """Return what is left out of the body when it is empty."""
    found: dict[str, Any] = {
        "Annotations": pairs(arguments.items("annotation")),
        "StorageOpt": _storage(arguments),
        "Tmpfs": _tmpfs(arguments.items("tmpfs")),
        "Sysctls": pairs(_each(arguments, "sysctl", _sysctl)),
        "Runtime": arguments.text("runtime"),
        "Mounts": _mounts(arguments),
    }
    kept = {name: value for name, value in found.items() if value}
    # A False here says something: not even if the engine would by default.
    return kept | ({"Init": arguments.switch("init")} if arguments.given("init") else {})


def _attach(arguments: Arguments) -> list[str]:
    for text in arguments.items("attach"):
        if text.lower() not in _STREAMS:
            reason = "valid streams are STDIN, STDOUT and STDERR"
            raise arguments.refuse("attach", reason, text)
    return [text.lower() for text in arguments.items("attach")]


def _each(arguments: Arguments, name: str, read: Callable[[str], Any]) -> list[Any]:
    """Return the values of an option, each one read. Raises BadUsage for a ValueError."""
    found = []
    for text in arguments.items(name):
        try:
            found.append(read(text))
        except ValueError as error:
            raise arguments.refuse(name, error, text) from None
    return found


def _logging(arguments: Arguments) -> dict[str, Any]:
    driver = arguments.text("log-driver")
    options = arguments.items("log-opt")
    if driver == "none" and options:
        raise InvalidArgument(f"invalid logging opts for driver {driver}")
    return {"Type": driver, "Config": pairs(options)}


def _restart(arguments: Arguments) -> dict[str, Any]:
    policy = limits.restart_policy(arguments.text("restart"))
    if arguments.switch("rm") and policy["Name"] not in ("", "no"):
        raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    return policy


def _storage(arguments: Arguments) -> dict[str, str]:
    texts = arguments.items("storage-opt")
    if any("=" not in text for text in texts):
        raise InvalidArgument("invalid storage option")
    return pairs(texts)


def _link(text: str) -> str:
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def _sysctl(text: str) -> str:
    name, equals, _ = text.partition("=")
    allowed = name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))
    if not equals or not allowed:
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text
