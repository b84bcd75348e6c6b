"""The commands by name. Each is a module of ``casemate.cli.commands``, imported when called.

A command may be reached by several paths (``ps``, ``container ls``); the first path of a module
here is the one that is shown first in lists.
"""

from __future__ import annotations

#: name → (module, one line that says what it does). In the order of ``--help``.
COMMON = {
    "run": ("run", "Create and run a new container from an image"),
    "exec": ("exec", "Execute a command in a running container"),
    "ps": ("ps", "List containers"),
    "plan": ("plan", "Show how a container would be put together, step by step"),
    "walls": ("walls", "Show every wall of a container, as it is set and as the kernel has it"),
    "pull": ("pull", "Download an image from a registry"),
    "push": ("push", "Upload an image to a registry"),
    "images": ("images", "List images"),
    "bootstrap": ("bootstrap", "Make a base image from this machine's package sources"),
    "login": ("login", "Authenticate to a registry"),
    "logout": ("logout", "Log out from a registry"),
    "version": ("version", "Show the versions of the client and the engine"),
    "info": ("info", "Display system-wide information"),
    "doctor": ("doctor", "Check what this machine can do for containers"),
}
OTHERS = {
    "attach": (
        "attach",
        "Attach local standard input, output, and error streams to a running container",
    ),
    "commit": ("commit", "Create a new image from a container's changes"),
    "completion": ("completion", "Print the completion script for a shell"),
    "cp": ("cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("create", "Create a new container"),
    "df": ("df", "Show disk usage"),
    "diff": ("diff", "Inspect changes to files or directories on a container's filesystem"),
    "events": ("events", "Get real time events from the engine"),
    "export": ("export", "Export a container's filesystem as a tar archive"),
    "fsck": ("fsck", "Check everything that is stored, and repair it"),
    "history": ("history", "Show the history of an image"),
    "import": ("import_", "Import the contents from a tarball to create a filesystem image"),
    "inspect": ("inspect", "Return low-level information on objects"),
    "kill": ("kill", "Kill one or more running containers"),
    "load": ("load", "Load an image from a tar archive or STDIN"),
    "logs": ("logs", "Fetch the logs of a container"),
    "pause": ("pause", "Pause all processes within one or more containers"),
    "port": ("port", "List port mappings or a specific mapping for the container"),
    "rename": ("rename", "Rename a container"),
    "restart": ("restart", "Restart one or more containers"),
    "rm": ("rm", "Remove one or more containers"),
    "rmi": ("rmi", "Remove one or more images"),
    "save": ("save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "start": ("start", "Start one or more stopped containers"),
    "stats": ("stats", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("stop", "Stop one or more running containers"),
    "tag": ("tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
    "top": ("top", "Display the running processes of a container"),
    "unpause": ("unpause", "Unpause all processes within one or more containers"),
    "update": ("update", "Update configuration of one or more containers"),
    "wait": ("wait", "Block until one or more containers stop, then print their exit codes"),
}
#: group → (what it does, name in the group → (module, what it does)).
GROUPS = {
    "container": (
        "Manage containers",
        {
            **{
                name: OTHERS[name]
                for name in ("attach", "commit", "cp", "create", "diff", "export", "kill",
                             "logs", "pause", "port", "rename", "restart", "rm", "start",
                             "stats", "stop", "top", "unpause", "update", "wait")
            },
            "exec": COMMON["exec"],
            "inspect": (
                "container_inspect",
                "Display detailed information on one or more containers",
            ),
            "ls": COMMON["ps"],
            "prune": ("container_prune", "Remove all stopped containers"),
            "run": COMMON["run"],
        },
    ),
    "group": (
        "Manage groups: named parts of the machine, each with a budget",
        {
            "create": ("group_create", "Create a group"),
            "inspect": ("group_inspect", "Display detailed information on one or more groups"),
            "ls": ("group_ls", "List groups, with what of their budgets is used"),
            "rm": ("group_rm", "Remove one or more groups"),
            "update": ("group_update", "Change the budget of one or more groups"),
        },
    ),
    "image": (
        "Manage images",
        {
            **{name: OTHERS[name] for name in ("history", "import", "load", "save", "tag")},
            "inspect": ("image_inspect", "Display detailed information on one or more images"),
            "ls": COMMON["images"],
            "prune": ("image_prune", "Remove unused images"),
            "pull": COMMON["pull"],
            "push": COMMON["push"],
            "rm": OTHERS["rmi"],
        },
    ),
    "network": (
        "Manage networks",
        {
            "inspect": ("network_inspect", "Display detailed information on one or more networks"),
            "ls": ("network_ls", "List networks"),
        },
    ),
    "system": (
        "Manage the engine",
        {
            "df": OTHERS["df"],
            "events": OTHERS["events"],
            "info": COMMON["info"],
            "prune": ("system_prune", "Remove unused data"),
        },
    ),
    "volume": (
        "Manage volumes",
        {
            "create": ("volume_create", "Create a volume"),
            "inspect": ("volume_inspect", "Display detailed information on one or more volumes"),
            "ls": ("volume_ls", "List volumes"),
            "prune": ("volume_prune", "Remove unused local volumes"),
            "rm": ("volume_rm", "Remove one or more volumes"),
        },
    ),
}  # fmt: skip
#: Spellings that work and are not listed: (group, spelling) → name in the group.
ALIASES = {
    ("container", "list"): "ls",
    ("container", "ps"): "ls",
    ("container", "remove"): "rm",
    ("group", "list"): "ls",
    ("group", "remove"): "rm",
    ("image", "list"): "ls",
    ("image", "remove"): "rm",
    ("image", "rmi"): "rm",
    ("network", "list"): "ls",
    ("volume", "list"): "ls",
    ("volume", "remove"): "rm",
}


def top() -> dict[str, tuple[str, str]]:
    """Return the commands that stand behind ``casemate`` itself."""
    return COMMON | OTHERS


def find(words: list[str]) -> tuple[str | None, list[str]]:
    """Return (module, path) of the command that ``words`` begin with.

    The module is None when the path is a group or nothing that is known.
    """
    if not words:
        return None, []
    first = words[0]
    if first in COMMON:
        return COMMON[first][0], words[:1]
    if first in OTHERS:
        return OTHERS[first][0], words[:1]
    if first not in GROUPS or len(words) < 2:
        return None, words[:1]
    members = GROUPS[first][1]
    name = ALIASES.get((first, words[1]), words[1])
    return (members[name][0] if name in members else None), words[:2]


def paths_of(module: str) -> list[str]:
    """Return every way to call the command of ``module``, those in groups first."""
    found = []
    for group, (_, members) in GROUPS.items():
        for name, (target, _) in members.items():
            if target == module:
                found.append(f"{group} {name}")
                found += [
                    f"{group} {alias}"
                    for (owner, alias), meant in ALIASES.items()
                    if owner == group and meant == name
                ]
    return found + [name for name, (target, _) in top().items() if target == module]


def summary_of(module: str) -> str:
    """Return the line that says what the command of ``module`` does."""
    tables = [top(), *(members for _, members in GROUPS.values())]
    return next(text for table in tables for target, text in table.values() if target == module)
