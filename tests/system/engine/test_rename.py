"""Containers get other names."""

from __future__ import annotations

import threading
import time

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine
from support.lives import events

pytestmark = pytest.mark.root


def rename(engine: RunningEngine, old: str, new: str) -> None:
    engine.client.post(f"/containers/{old}/rename?name={new}")


def test_the_new_name_is_its_only_one(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = engine.run_container("busybox", "sleep", "1000", name="old")
    rename(engine, "old", "new")
    assert engine.inspect("new")["Id"] == id_
    assert engine.inspect(id_)["Name"] == "/new"
    with pytest.raises(NotFound):
        engine.inspect("old")
    other = engine.create("busybox", name="old")
    assert engine.inspect("old")["Id"] == other
    (event,) = events(engine, since, event=["rename"])
    attributes = event["Actor"]["Attributes"]
    assert (attributes["name"], attributes["oldName"]) == ("new", "/old")
    engine.client.post("/containers/new/stop?t=0")
    rename(engine, id_, "/newer")
    assert engine.inspect("newer")["State"]["Status"] == "exited"


@pytest.mark.parametrize(
    ("new", "error", "match"),
    [
        ("", InvalidArgument, "Neither old nor new names may be empty"),
        ("%20", InvalidArgument, "Neither old nor new names may be empty"),
        ("one", InvalidArgument, "same name as its current name"),
        ("/one", InvalidArgument, "same name as its current name"),
        ("-bad", InvalidArgument, "Error when allocating new name: invalid container name"),
        ("a/b", InvalidArgument, "Error when allocating new name: invalid container name"),
        ("x" * 300, InvalidArgument, "Error when allocating new name"),
        ("two", Conflict,
         r'Error when allocating new name: Conflict. The container name "/two" is already in use'
         r' by container "[0-9a-f]{64}"'),
    ],
)  # fmt: skip
def test_names_that_cannot_be_had(
    engine: RunningEngine, new: str, error: type[Exception], match: str
) -> None:
    engine.create("busybox", name="one")
    engine.create("busybox", name="two")
    with pytest.raises(error, match=match):
        rename(engine, "one", new)
    assert {c["Names"][0] for c in engine.client.get("/containers/json?all=1")} == {"/one", "/two"}


def test_creations_and_renames_at_the_same_time_agree(engine: RunningEngine) -> None:
    ids = [engine.create("busybox") for _ in range(4)]
    outcomes: list[str] = []

    def want(path: str, body: object) -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            client.post(path, body)
            outcomes.append("had")
        except Conflict as error:
            outcomes.append("taken" if "already in use" in error.message else error.message)
        finally:
            client.close()

    for number in range(8):
        name = f"wanted{number}"
        wants: list[tuple[str, object]] = [
            *((f"/containers/{id_}/rename?name={name}", None) for id_ in ids),
            *((f"/containers/create?name={name}", {"Image": "busybox"}) for _ in range(4)),
        ]
        threads = [threading.Thread(target=want, args=one) for one in wants]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(outcomes) == ["had", *["taken"] * 7], outcomes
        outcomes.clear()


def test_a_new_name_survives_the_engine(own_engine: RunningEngine) -> None:
    id_ = own_engine.run_container("busybox", "sleep", "1000", name="old")
    rename(own_engine, "old", "new")
    own_engine.kill()
    own_engine.start()
    assert own_engine.inspect("new")["Id"] == id_
    with pytest.raises(NotFound):
        own_engine.inspect("old")
