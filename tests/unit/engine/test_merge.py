"""The request over the image's config, as docker run does it."""

from __future__ import annotations

import pytest

from casemate.engine.merge import command, merged
from casemate.engine.model import Config
from casemate.engine.translate import directory
from casemate.errors import InvalidArgument
from casemate.oci.image import RunConfig

IMAGE = RunConfig(entrypoint=("e", "1"), cmd=("c", "2"), env=("A=1", "B=2"), user="u")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Config(), ("e", "1", "c", "2")),
        (Config(cmd=["x"]), ("e", "1", "x")),
        (Config(cmd="x y"), ("e", "1", "x y")),
        (Config(entrypoint=["n"]), ("n",)),
        (Config(entrypoint="n"), ("n",)),
        (Config(entrypoint=["n"], cmd=["x"]), ("n", "x")),
        (Config(entrypoint=[""], cmd=["x"]), ("x",)),
        (Config(entrypoint=[], cmd=["x"]), ("x",)),
    ],
)
def test_commands(asked: Config, expected: tuple[str, ...]) -> None:
    assert command(merged(asked, IMAGE)) == expected


def test_no_command_is_an_error() -> None:
    for asked in (Config(), Config(entrypoint=[""]), Config(cmd=[""])):
        with pytest.raises(InvalidArgument, match="no command specified"):
            command(merged(asked, RunConfig()))


def test_variables_are_replaced_one_by_one() -> None:
    assert merged(Config(env=["B=3", "C=4"]), IMAGE).env == ["A=1", "B=3", "C=4"]
    assert merged(Config(env=["A"]), IMAGE).env == ["B=2"]


def test_the_rest_is_the_images_unless_asked() -> None:
    image = RunConfig(
        user="u", working_dir="/w", labels={"a": "1"}, exposed_ports={"80/tcp": {}},
        volumes={"/v": {}}, stop_signal="USR1",
    )  # fmt: skip
    found = merged(Config(labels={"b": "2"}, exposed_ports={"81/tcp": {}}), image)
    assert (found.user, found.working_dir, found.stop_signal) == ("u", "/w", "USR1")
    assert found.labels == {"a": "1", "b": "2"}
    assert found.exposed_ports == {"80/tcp": {}, "81/tcp": {}}
    assert merged(Config(user="other"), image).user == "other"


def test_paths_of_an_image_with_a_nul_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        merged(Config(), RunConfig(volumes={"/a\0b": {}}))
    with pytest.raises(InvalidArgument, match="NUL"):
        directory(merged(Config(), RunConfig(working_dir="/a\0b")).working_dir)
