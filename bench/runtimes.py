"""runc and crun, given the runtime spec of our own default container: what dockerd gives them.

Their root is a plain directory that stays: they make no writable layer, keep no log and remove
nothing afterwards, which is in their favour.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any, NamedTuple

import msgspec

from bench.failure import Broken, Missing
from bench.keeper import Keeper, Ran
from bench.lab import CGROUP
from casemate.oci.runtime import Mount, RuntimeSpec, Seccomp
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.spec.options import Options
from casemate.walls import machine, profiles, seccomp

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FILES = {"hosts": "/etc/hosts", "hostname": "/etc/hostname", "resolv.conf": "/etc/resolv.conf"}
#: Programs that refuse a hybrid hierarchy see only version 1, in a mount namespace of their own.
_WITHOUT_UNIFIED = (
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    'umount -l "$0" && exec "$@"',
    "/sys/fs/cgroup/unified",
)


class Runtime(NamedTuple):
    """A runtime that is called for every container."""

    name: str
    version: str
    keeper: Keeper
    command: tuple[str, ...]
    bundle: str

    def run_true(self, number: int) -> Ran:
        """Run the bundle once."""
        return self.keeper.run((*self.command, "run", "-b", self.bundle, f"bench-{number}"))


def default_seccomp() -> Seccomp:
    """Return the rules of a container whose user asks for nothing."""
    facts = machine.read()
    held = frozenset(profiles.CONTAINER.capabilities)
    wanted = seccomp.Facts(held, (facts.architecture,), facts.kernel)
    return seccomp.resolve(seccomp.own("default"), wanted)


def start(directory: str, name: str, root: str) -> Runtime:
    """Return the runtime ``name`` with a bundle over the directory ``root``. Raises Missing."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        raise Missing(f"{name} is not installed")
    bundle = f"{directory}/{name}"
    _write_bundle(bundle, name, root)
    prefix = separate_cgroups() if name == "crun" else ()
    keeper = Keeper(directory, f"{name}-output", prefix)
    said = keeper.run([program, "--version"]).output.splitlines()[0]
    command = (program, "--root", f"{bundle}/state")
    runtime = Runtime(name, said, keeper, command, bundle)
    try:
        runtime.run_true(0)
    except Broken as error:
        keeper.close()
        raise Missing(f"it does not run here: {error}") from error
    return runtime


def separate_cgroups() -> tuple[str, ...]:
    """Return what is put before a command line to hide version 2 where it is beside version 1."""
    unified = os.path.ismount(_WITHOUT_UNIFIED[-1])
    return _WITHOUT_UNIFIED if unified else ()


def unpack(tar: str, root: str) -> None:
    """Unpack the archive of a root into the new directory ``root``."""
    os.makedirs(root)
    subprocess.run(["tar", "-xf", tar, "-C", root], check=True)


def _write_bundle(bundle: str, name: str, root: str) -> None:
    os.makedirs(bundle)
    for file in _FILES:
        with open(f"{bundle}/{file}", "x", encoding="utf-8") as made:
            made.write("127.0.0.1 localhost\n")
    with open(f"{bundle}/config.json", "x", encoding="utf-8") as made:
        json.dump(_document(_spec(bundle, name), root), made)


def _spec(bundle: str, name: str) -> RuntimeSpec:
    profile = profiles.CONTAINER
    options = Options(
        args=("true",),
        env=(_PATH, "HOSTNAME=bench", "HOME=/root"),
        cwd="/",
        user=Identity(),
        hostname="bench",
        capabilities=profile.capabilities,
        seccomp=default_seccomp(),
        mounts=tuple(
            Mount(path, "bind", f"{bundle}/{file}", ("rbind", "rprivate"))
            for file, path in _FILES.items()
        ),
        cgroup=f"/{CGROUP}/{name}",
        namespaces=profile.namespaces - {"time"},  # unknown to runc 1.1
    )
    return make(options, profile)


def _document(spec: RuntimeSpec, root: str) -> Any:
    document = msgspec.to_builtins(spec)
    document["ociVersion"] = "1.0.2"
    document["root"]["path"] = root
    document["process"]["user"] = {"uid": 0, "gid": 0}
    document["process"]["cwd"] = "/"
    document["linux"]["seccomp"].pop("flags", None)  # unknown to runc 1.1
    for rule in document["linux"]["resources"]["devices"]:
        rule.setdefault("access", "rwm")  # they do not know the specification's default
    return document
