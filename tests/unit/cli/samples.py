"""Documents as an engine sends them."""

from __future__ import annotations

import time
from typing import Any


def _container(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Id": f"{number:064x}",
        "Names": [f"/c{number}"],
        "Image": "debian:12",
        "ImageID": "sha256:" + "a" * 64,
        "Command": "sleep 1000",
        "Created": int(time.time()) - number * 7000,
        "State": "running",
        "Status": "Up 2 minutes",
        "Ports": [],
        "Labels": {},
        "Mounts": [],
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "SizeRw": number * 1234567,
        "SizeRootFs": 0,
    } | more


def _port(inside: int, outside: int = 0, address: str = "", kind: str = "tcp") -> dict[str, Any]:
    made: dict[str, Any] = {"PrivatePort": inside, "Type": kind}
    return made | ({"IP": address, "PublicPort": outside} if address else {})


def _image(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Id": f"sha256:{number:064x}",
        "RepoTags": [f"image{number}:latest"],
        "RepoDigests": [],
        "Created": int(time.time()) - number * 100000,
        "Size": 10**number,
        "SharedSize": -1,
        "Containers": -1,
    } | more


LISTS: dict[str, Any] = {
    "/containers/json": [
        _container(1),
        _container(
            2,
            Ports=[
                *(_port(p, p, "0.0.0.0") for p in (80, 81, 82, 90)),
                *(_port(p, p, "::") for p in (80, 81)),
                _port(53, 5353, "127.0.0.1", "udp"),
                _port(443),
                _port(444),
                _port(9000),
                _port(9000, kind="udp"),
            ],
            Names=["/c2", "/other/alias"],
            Labels={"b": "2", "a": "1", "com.example/some-name": "x"},
        ),
        _container(3, Image="a" * 12, Command='sh -c "a very long command\twith a tab"'),
        _container(4, Image="debian@sha256:" + "b" * 64, SizeRootFs=10**9, Status="Exited (1)"),
        _container(5, Image="debian:12@sha256:" + "b" * 64, Image_="", Created=0),
        _container(6, Image="", Command="日本語の長いコマンド名です", Names=["/日本"]),
        _container(
            7,
            Mounts=[
                {"Name": "v" * 64, "Driver": "local", "Type": "volume"},
                {"Source": "/a/long/path/to/data", "Type": "bind"},
            ],
        ),
    ],
    "/images/json": [
        _image(1),
        _image(2, RepoTags=["b:1", "b:2", "registry.lan:5000/x/y:z"]),
        _image(3, RepoTags=[], RepoDigests=[]),
        _image(4, RepoTags=["d:1"], RepoDigests=["d@sha256:" + "c" * 64]),
        _image(5, RepoTags=["<none>:<none>"], RepoDigests=["<none>@<none>"]),
        _image(6, RepoTags=[], RepoDigests=["e@sha256:" + "d" * 64, "e@sha256:" + "e" * 64]),
    ],
    "/networks": [
        {"Id": "f" * 64, "Name": n, "Driver": "bridge", "Scope": "local", "Labels": {"a": "b"}}
        for n in ("net10", "net2", "host")
    ],
    "/volumes": {
        "Volumes": [
            {"Name": n, "Driver": "local", "Scope": "local", "Mountpoint": "/m", "Labels": None}
            for n in ("v10", "v9", "data")
        ]
    },
    "/images/a/history": [
        {
            "Id": "sha256:" + "a" * 64,
            "Created": int(time.time()) - 100,
            "CreatedBy": "RUN /bin/sh -c apt-get update && apt-get install -y everything # x",
            "Size": 123456789,
            "Comment": "buildkit",
        },
        {"Id": "<missing>", "Created": 0, "CreatedBy": "ADD\tfile", "Size": 0, "Comment": ""},
    ],
    "/system/df": {
        "LayersSize": 5000000,
        "Images": [
            _image(6, Containers=1, SharedSize=1000),
            _image(5, Containers=0, SharedSize=0),
        ],
        "Containers": [_container(1), _container(2, State="exited")],
        "Volumes": [
            {"Name": "v", "Driver": "local", "UsageData": {"Size": 100, "RefCount": 1}},
            {"Name": "w", "Driver": "local", "UsageData": {"Size": 300, "RefCount": 0}},
        ],
        "BuildCache": [
            {
                "ID": "abcdefghijklmnopqrstuvwxy",
                "Type": "regular",
                "Size": 4000,
                "CreatedAt": "2020-01-01T00:00:00.5Z",
                "LastUsedAt": "2021-01-01T00:00:00Z",
                "UsageCount": 3,
                "InUse": True,
                "Shared": False,
            },
            {"ID": "b" * 25, "Type": "x", "Size": 5, "CreatedAt": "2020-01-01T00:00:00Z"},
            {"ID": "a" * 25, "Type": "x", "CreatedAt": "2020-01-01T00:00:00Z", "Shared": True},
        ],
    },
}


INSPECTED: dict[str, Any] = {
    "Id": "cc",
    "Created": "2024-01-02T03:04:05.6Z",
    "Path": "sh",
    "Args": ["-c", 'echo "<x>"'],
    "State": {"Status": "running", "Running": True, "Pid": 12, "ExitCode": 0, "Error": ""},
    "Name": "/c",
    "RestartCount": 0,
    "HostConfig": {
        "Binds": None,
        "NetworkMode": "default",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
        "Memory": 1073741824,
        "CapAdd": None,
        "OomKillDisable": None,
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
    },
    "Mounts": [],
    "Config": {
        "Hostname": "h",
        "Tty": False,
        "Env": ["A=b", "PATH=/bin"],
        "Cmd": ["sh", "-c"],
        "Entrypoint": None,
        "Labels": {"a": "1", "b.c": "2"},
        "Volumes": None,
    },
    "NetworkSettings": {"IPAddress": "172.17.0.2", "Networks": {"bridge": {"Gateway": "g"}}},
}
