"""Changes to an image's config as instructions of a Dockerfile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.image.changes import apply
from casemate.oci.image import RunConfig


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ('CMD ["a","b c"]', "cmd", ("a", "b c")),
        ("CMD a b", "cmd", ("/bin/sh", "-c", "a b")),
        ("CMD [a", "cmd", ("/bin/sh", "-c", "[a")),
        ('ENTRYPOINT ["a"]', "entrypoint", ("a",)),
        ("ENV A=1 B='two words'", "env", ("A=1", "B=two words")),
        ("ENV A two words", "env", ("A=two words",)),
        ("EXPOSE 80 53/udp 7-9", "exposed_ports", {
            "80/tcp": {}, "53/udp": {}, "7/tcp": {}, "8/tcp": {}, "9/tcp": {},
        }),
        ("LABEL a=b c='d e'", "labels", {"a": "b", "c": "d e"}),
        ("ONBUILD RUN x", "on_build", ("RUN x",)),
        ("STOPSIGNAL USR1", "stop_signal", "USR1"),
        ("USER 7:8", "user", "7:8"),
        ("VOLUME /a /b", "volumes", {"/a": {}, "/b": {}}),
        ('VOLUME ["/a b"]', "volumes", {"/a b": {}}),
        ("WORKDIR x/../y", "working_dir", "/y"),
        ("workdir /z", "working_dir", "/z"),
    ],
)  # fmt: skip
def test_instructions(change: str, field: str, expected: object) -> None:
    assert getattr(apply(RunConfig(), [change]), field) == expected


def test_they_build_on_each_other_and_on_what_was_there() -> None:
    before = RunConfig(env=("A=0", "B=1"), working_dir="/w", labels={"x": "y"})
    found = apply(before, ["ENV A=2\n# nothing\n\nWORKDIR in", "LABEL z=1"])
    assert found.env == ("A=2", "B=1")
    assert (found.working_dir, found.labels) == ("/w/in", {"x": "y", "z": "1"})


@pytest.mark.parametrize(
    "change",
    [
        "RUN x",
        "FROM y",
        "ENV",
        "CMD ",
        "EXPOSE 0",
        "EXPOSE 9-7",
        "EXPOSE x",
        "LABEL a=b c",
        'ENV "',
    ],
)
def test_what_is_no_change(change: str) -> None:
    with pytest.raises(InvalidArgument):
        apply(RunConfig(), [change])


@given(
    st.sampled_from(["CMD", "ENV", "EXPOSE", "LABEL", "VOLUME", "WORKDIR"]), st.text(max_size=40)
)
def test_any_text_is_a_change_or_an_error(keyword: str, text: str) -> None:
    try:
        apply(RunConfig(), [f"{keyword} {text}"])
    except InvalidArgument:
        pass
