"""Networks of users through the API, and containers on them."""

from __future__ import annotations

from typing import Any

from support.engine import RunningEngine

SLEEP = ("sleep", "1000")


def network(engine: RunningEngine, name: str, subnet: str = "", **more: Any) -> str:
    if subnet:
        more["IPAM"] = {"Config": [{"Subnet": subnet}]}
    made: str = engine.client.post("/networks/create", {"Name": name, **more})["Id"]
    return made


def on(engine: RunningEngine, *networks: str, command: tuple[str, ...] = SLEEP, **host: Any) -> str:
    """Start a container that is on ``networks``."""
    endpoints: dict[str, Any] = {name: {} for name in networks}
    endpoints.update(host.pop("endpoints", {}))
    body = {
        "Image": "busybox",
        "Cmd": list(command),
        "HostConfig": {"NetworkMode": networks[0], **host},
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
    id_: str = engine.client.post("/containers/create", body)["Id"]
    engine.start_container(id_)
    return id_


def connect(engine: RunningEngine, name: str, id_: str, **settings: Any) -> None:
    body = {"Container": id_, "EndpointConfig": settings}
    engine.client.call("POST", f"/networks/{name}/connect", body)


def disconnect(engine: RunningEngine, name: str, id_: str, *, force: bool = False) -> None:
    body = {"Container": id_, "Force": force}
    engine.client.call("POST", f"/networks/{name}/disconnect", body)


def address(engine: RunningEngine, id_: str, name: str) -> str:
    found: str = engine.inspect(id_)["NetworkSettings"]["Networks"][name]["IPAddress"]
    return found


def inside(engine: RunningEngine, id_: str, script: str) -> str:
    done = engine.exec(id_, "sh", "-c", script)
    assert done.code == 0, done
    return done.out.decode().strip()
