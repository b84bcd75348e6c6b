"""The whole body of a create request."""

from __future__ import annotations

from casemate.cli.body import devices, limits, networks, portspecs, security, volumes
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
_ELSEWHERE = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni",
                 "shm_rmid_forced")
)  # fmt: skip


def container_body(arguments: Arguments, proxies: Mapping[str, str]) -> dict[str, Any]:
    """Return the body for the options and ``IMAGE [COMMAND] [ARG...]``.

    Raises BadUsage for a value that breaks the rule of its option, InvalidArgument for options
    that contradict each other.
    """
    _refuse_what_cannot_be_done(arguments)
    bindings = portspecs.published(arguments.items("publish"))
    bound, anonymous = volumes.binds(arguments.items("volume"))
    config = _config(arguments, proxies)
    config["Volumes"] = anonymous
    ports = [*bindings, *portspecs.exposed(arguments.items("expose"))]
    if ports:
        config["ExposedPorts"] = {port: {} for port in ports}
    attached = networks.attachments(arguments)
    host = _host_config(arguments)
    host["Binds"] = bound or None
    host["PortBindings"] = bindings
    host["NetworkMode"] = attached[0].target if attached else "default"
    endpoints = networks.endpoints(attached, arguments)
    return config | {
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }


def _refuse_what_cannot_be_done(arguments: Arguments) -> None:
    if arguments.given("use-api-socket"):
        raise InvalidArgument("--use-api-socket is not supported")
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
    mapped, cdi_names = devices.devices(arguments.items("device"))
    options, unmasked = security.security_options(arguments.items("security-opt"))
    host: dict[str, Any] = {
        "ContainerIDFile": arguments.text("cidfile"),
        "LogConfig": _logging(arguments),
        "RestartPolicy": _restart(arguments),
        "AutoRemove": arguments.switch("rm"),
        "VolumeDriver": arguments.text("volume-driver"),
        "VolumesFrom": arguments.items("volumes-from") or None,
        "ConsoleSize": list(terminal_size()),
        "CapAdd": security.capabilities(arguments.items("cap-add")),
        "CapDrop": security.capabilities(arguments.items("cap-drop")),
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
        "SecurityOpt": options or None,
        "UTSMode": arguments.text("uts"),
        "UsernsMode": arguments.text("userns"),
        "ShmSize": limits.size(arguments, "shm-size"),
        "Isolation": arguments.text("isolation"),
        **limits.resources(arguments),
        "Devices": mapped,
        "DeviceCgroupRules": devices.check_cgroup_rules(arguments) or None,
        "DeviceRequests": devices.device_requests(arguments, cdi_names) or None,
        "MaskedPaths": [] if unmasked else None,
        "ReadonlyPaths": [] if unmasked else None,
    }
    return host | _optional(arguments)


def _optional(arguments: Arguments) -> dict[str, Any]:
    """Return what is left out of the body when it is empty."""
    found: dict[str, Any] = {
        "Annotations": pairs(arguments.items("annotation")),
        "StorageOpt": _storage(arguments),
        "Tmpfs": volumes.tmpfs(arguments.items("tmpfs")),
        "Sysctls": pairs(_each(arguments, "sysctl", _sysctl)),
        "Runtime": arguments.text("runtime"),
        "Mounts": _each(arguments, "mount", volumes.mount),
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
