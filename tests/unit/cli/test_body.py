"""The options of run as a request's body: what holds for any text, and what needs no docker."""

from __future__ import annotations

import csv
import io
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli.arguments import parse
from casemate.cli.body import addresses, environment, portspecs, records, volumes
from casemate.cli.body.container import container_body
from casemate.cli.create_options import CREATE_OPTIONS
from casemate.errors import Error, InvalidArgument
from unit.cli.commandlines import CREATE, REFUSED
from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine


def body(*words: str, proxies: dict[str, str] | None = None) -> dict[str, Any]:
    return container_body(parse(CREATE_OPTIONS, list(words), mixed=False), proxies or {})


fields = st.lists(st.text(alphabet='ab=," ', max_size=6), min_size=1, max_size=4)


@given(fields)
def test_records_are_read_as_they_are_written(values: list[str]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="").writerow(values)
    assert records.fields(text.getvalue()) == values


@given(st.text(alphabet='ab=,"', max_size=12))
def test_any_text_is_a_record_or_refused(text: str) -> None:
    try:
        assert ",".join(records.fields(text)).count(",") <= text.count(",")
    except ValueError as error:
        assert '"' in str(error)


@given(st.ip_addresses().map(str))
def test_addresses_become_canonical(text: str) -> None:
    assert ipaddress.ip_address(addresses.canonical(text)) == ipaddress.ip_address(text)


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for read in (addresses.canonical, addresses.extra_host, addresses.search_domain):
        try:
            read(text)
        except ValueError:
            pass


ports = st.integers(0, 65535)


@given(ports, ports, st.sampled_from(["", "/tcp", "/UDP", "/sctp"]))
def test_a_published_port_is_one_binding(inside: int, outside: int, protocol: str) -> None:
    kind = protocol.strip("/").lower() or "tcp"
    assert portspecs.published([f"127.0.0.1:{outside}:{inside}{protocol}"]) == {
        f"{inside}/{kind}": [{"HostIp": "127.0.0.1", "HostPort": str(outside)}]
    }


@given(st.text(alphabet="0123456789:-/[].tcpudx=,", max_size=14))
def test_any_text_is_ports_or_refused(text: str) -> None:
    for read in (portspecs.published, portspecs.exposed):
        try:
            read([text])
        except InvalidArgument:
            pass


@given(st.text(alphabet="abtype=bind,srcdst/:.", max_size=20))
def test_any_text_is_a_mount_or_refused(text: str) -> None:
    try:
        volumes.mount(text)
    except ValueError:
        pass
    try:
        volumes.binds([text])
    except InvalidArgument:
        pass


@given(st.binary(max_size=60))
def test_any_file_is_variables_or_refused(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "variables"
    path.write_bytes(data)
    try:
        found = environment.read_pairs(str(path), {})
    except InvalidArgument as error:
        assert str(path) in str(error)
    else:
        assert all("=" in line for line in found)


def test_a_huge_line_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=" + "x" * (1 << 17))
    with pytest.raises(InvalidArgument, match="line 1 is too long"):
        environment.read_pairs(str(tmp_path / "env"), {})


def test_proxies_of_the_config_do_not_win_over_the_command_line() -> None:
    proxies = {"HTTP_PROXY": "http://p", "NO_PROXY": "x"}
    made = body("-e", "http_proxy=mine", "-e", "NO_PROXY=", "busybox", proxies=proxies)
    assert made["Env"] == ["http_proxy=mine", "NO_PROXY=", "HTTP_PROXY=http://p", "no_proxy=x"]


def test_a_root_that_is_asked_to_be_writable_is_so_whatever_the_profile() -> None:
    assert body("--read-only", "busybox")["HostConfig"]["SecurityOpt"] is None
    assert body("busybox")["HostConfig"]["SecurityOpt"] is None
    made = body("--read-only=false", "--security-opt", "landlock=default", "busybox")
    assert made["HostConfig"]["SecurityOpt"] == ["landlock=default", "read-only=false"]
    assert body("--read-only=0", "busybox")["HostConfig"]["SecurityOpt"] == ["read-only=false"]


def test_what_only_windows_has_is_refused_by_name() -> None:
    for option in ("--cpu-count=1", "--cpu-percent=1", "--io-maxiops=1", "--io-maxbandwidth=1"):
        with pytest.raises(InvalidArgument, match=option.partition("=")[0]):
            body(option, "busybox")
    with pytest.raises(InvalidArgument, match="--use-api-socket is not supported"):
        body("--use-api-socket", "busybox")


def test_a_limit_that_kernels_lost_is_not_dropped_in_silence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert "KernelMemory" not in body("--kernel-memory", "1g", "busybox")["HostConfig"]
    assert "--kernel-memory is ignored" in capfd.readouterr().err


@pytest.mark.parametrize("line", CREATE)
def test_every_sample_has_a_body(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    monkeypatch.chdir(tmp_path)
    for name, text in (("env", "A=b\n"), ("labels", "a=b\n"), ("profile.json", "{}")):
        (tmp_path / name).write_text(text)
    made = body(*shlex.split(line))
    assert made["Image"] in ("busybox", "debian:12")
    assert set(made["NetworkingConfig"]) == {"EndpointsConfig"}


@pytest.mark.parametrize("line", REFUSED)
def test_every_mistake_is_told_before_anything_is_sent(
    cli: Cli, engine: FakeEngine, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import shlex

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad").write_text("A B=c\n")
    assert cli("run", "-d", *shlex.split(line)) == 125
    assert not engine.requests
    message = capfd.readouterr().err
    assert message.endswith("Run 'casemate run --help' for more information\n")


values = st.text(alphabet="ab01:=,/.-m[] ", max_size=8)


@given(st.sampled_from([o for o in CREATE_OPTIONS if o.kind]), values)
def test_any_value_of_any_option_has_a_body_or_an_error(option: Any, value: str) -> None:
    try:
        body(f"--{option.name}={value}", "busybox")
    except Error:
        pass
