"""Every verb in every state of a container: done, nothing to do, or refused in docker's words."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from casemate.engine.states import REACHED, REFUSED, STATUSES, VERBS, Verb
from casemate.errors import Conflict
from support.engine import RunningEngine, busybox_tar
from support.engines import place, require
from support.lives import Removal, reaches, status, wait_longest

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

REQUESTS: dict[Verb, tuple[str, str, object]] = {
    "attach": ("POST", "/containers/{}/attach?stream=1&stdout=1", None),
    "commit": ("POST", "/commit?container={}", None),
    "exec": ("POST", "/containers/{}/exec", {"Cmd": ["true"]}),
    "export": ("GET", "/containers/{}/export", None),
    "kill": ("POST", "/containers/{}/kill", None),
    "pause": ("POST", "/containers/{}/pause", None),
    "remove": ("DELETE", "/containers/{}", None),
    "resize": ("POST", "/containers/{}/resize?h=10&w=10", None),
    "restart": ("POST", "/containers/{}/restart?t=0", None),
    "start": ("POST", "/containers/{}/start", None),
    "stop": ("POST", "/containers/{}/stop?t=0", None),
    "unpause": ("POST", "/containers/{}/unpause", None),
    "top": ("GET", "/containers/{}/top", None),
    "update": ("POST", "/containers/{}/update", {"CpuShares": 512}),
}


class Lives(NamedTuple):
    """An engine with a container in each state, by state."""

    engine: RunningEngine
    ids: dict[str, str]


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    require()
    engine = RunningEngine(place())
    engine.start()
    try:
        engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        ids = {"created": engine.create("busybox", "true", name="created")}
        for name in ("running", "paused", "dead", "removing"):
            ids[name] = engine.run_container("busybox", "sleep", "1000", name=name)
        ids["exited"] = engine.run_container("busybox", "true", name="exited")
        ids["restarting"] = engine.run_container(
            "busybox", "false", name="restarting", RestartPolicy={"Name": "always"}
        )
        engine.client.post("/containers/paused/pause")
        os.kill(engine.supervisor("dead"), signal.SIGKILL)
        reaches(engine, "restarting", "restarting")
        wait_longest(engine, ids["restarting"])
        for name in ("exited", "dead"):
            engine.wait(name)
        removal = Removal(engine, ids["removing"])
        yield Lives(engine, ids)
        removal.end()
    finally:
        engine.remove_everything()


def test_each_state_is_shown(lives: Lives) -> None:
    assert sorted(lives.ids) == sorted(STATUSES)
    listed = {c["Names"][0]: c for c in lives.engine.client.get("/containers/json?all=1")}
    for name, id_ in lives.ids.items():
        assert status(lives.engine, id_) == name
        assert listed[f"/{name}"]["State"] == name
        query = f'/containers/json?all=1&filters={{"status":["{name}"]}}'.replace('"', "%22")
        assert [c["Id"] for c in lives.engine.client.get(query)] == [id_]
    words = {name: listed[f"/{name}"]["Status"] for name in STATUSES}
    assert words["created"] == "Created" and words["dead"] == "Dead"
    assert words["removing"] == "Removal In Progress"
    assert words["paused"].startswith("Up ") and words["paused"].endswith(" (Paused)")
    assert words["restarting"].startswith("Restarting (1) ")
    assert words["restarting"].endswith(" ago") and words["exited"].startswith("Exited (0) ")


def test_docker_calls_running_what_has_a_process_or_will_have(lives: Lives) -> None:
    up = [name for name in STATUSES if lives.engine.inspect(name)["State"]["Running"]]
    assert up == ["running", "paused", "restarting", "removing"]
    shown = {c["Names"][0][1:] for c in lives.engine.client.get("/containers/json")}
    assert shown == set(up)


@pytest.mark.parametrize(
    ("verb", "name"), [(verb, name) for verb in VERBS for name in REFUSED.get(verb, {})]
)
def test_what_a_state_does_not_allow_is_refused(lives: Lives, verb: Verb, name: str) -> None:
    method, path, document = REQUESTS[verb]
    before = lives.engine.inspect(name)["State"]
    with pytest.raises(Conflict) as caught:
        lives.engine.client.call(method, path.format(name), document)
    text = REFUSED[verb][name]  # type: ignore[index]
    assert caught.value.message == text.format(id=lives.ids[name], name=name, status=name)
    assert lives.engine.inspect(name)["State"] == before


@pytest.mark.parametrize(
    ("verb", "name"), [(verb, name) for verb in REACHED for name in REACHED[verb]]
)
def test_where_nothing_is_to_do_nothing_is_done(lives: Lives, verb: Verb, name: str) -> None:
    method, path, _ = REQUESTS[verb]
    before = lives.engine.inspect(name)["State"]
    with lives.engine.client.request(method, path.format(name)) as reply:
        assert reply.status == 304
    assert lives.engine.inspect(name)["State"] == before


def test_the_tables_name_verbs_and_states_only() -> None:
    assert REFUSED.keys() | REACHED.keys() <= set(VERBS)
    assert {name for states in REFUSED.values() for name in states} == set(STATUSES)
    assert not any(REFUSED[verb].keys() & set(REACHED[verb]) for verb in REACHED if verb in REFUSED)
