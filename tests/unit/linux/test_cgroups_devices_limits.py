"""Throttles of block devices, huge pages and processors of trees: what is written, what is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups import cpuset, hugepages, ioweight, setting, throttle
from casemate.linux.cgroups.values import Limits, Throttle
from unit.linux.fakekernel import NO_LIMIT_V1, FakePlace

RATES = st.one_of(st.none(), st.integers(1, (1 << 32) - 1))
THROTTLES = st.builds(
    Throttle, st.integers(1, 400), st.integers(0, 300), RATES, RATES, RATES, RATES
)


def block_v1() -> FakePlace:
    """Four files of version 1, each with a line for a device that has a rate."""
    place = FakePlace(1, cgroup__procs="")
    for file in throttle._V1.values():
        place.files[file] = ""
        place.keep[file] = _line_kept(place, file)
    return place


def _line_kept(place: FakePlace, file: str) -> object:
    lines: dict[str, str] = {}

    def keep(text: str) -> str:
        device, _, rate = text.partition(" ")
        lines[device] = rate
        return "\n".join(f"{device} {rate}" for device, rate in lines.items())

    return keep


def block_v2() -> FakePlace:
    """The file of version 2, which names what has no limit, too."""
    place = FakePlace(2, cgroup__procs="", io__max="")
    held: dict[str, dict[str, str]] = {}

    def keep(text: str) -> str:
        device, *words = text.split()
        rates = held.setdefault(device, dict.fromkeys(("rbps", "wbps", "riops", "wiops"), "max"))
        rates.update(word.split("=") for word in words)
        return "\n".join(
            f"{device} {' '.join(f'{k}={v}' for k, v in rates.items())}"
            for device, rates in held.items()
        )

    place.keep["io.max"] = keep
    return place


@given(st.lists(THROTTLES, max_size=4, unique_by=lambda t: (t.major, t.minor)))
def test_throttles_are_read_as_they_were_written(wanted: list[Throttle]) -> None:
    limited = tuple(t for t in wanted if any(rate is not None for rate in t[2:]))
    for place in (block_v1(), block_v2()):
        setting.apply(place, throttle.settings(place, Limits(throttles=tuple(wanted))))
        assert throttle.limits(place).throttles == tuple(sorted(limited, key=lambda t: t[:2]))
        assert setting.unheld(place, throttle.settings(place, Limits(throttles=limited))) == []


def test_a_throttle_that_the_kernel_does_not_keep_is_an_error() -> None:
    for place, file in ((block_v1(), throttle._V1["read_bps"]), (block_v2(), "io.max")):
        place.keep[file] = lambda text: ""
        with pytest.raises(InvalidArgument, match="the kernel keeps ''"):
            limits = Limits(throttles=(Throttle(8, 0, read_bps=5),))
            setting.apply(place, throttle.settings(place, limits))


def test_of_several_rates_the_last_one_counts() -> None:
    found = throttle.merged(
        (Throttle(8, 0, read_bps=1), Throttle(8, 0, write_bps=2), Throttle(8, 0, read_bps=3))
    )
    assert found == (Throttle(8, 0, read_bps=3, write_bps=2),)


def test_weights_are_read_as_they_were_written() -> None:
    v1 = FakePlace(1, cgroup__procs="", blkio__bfq__weight="100", blkio__bfq__weight_device="")
    v2 = FakePlace(2, cgroup__procs="", io__bfq__weight="default 100")
    v2.keep["io.bfq.weight"] = lambda text: "\n".join(
        (text, "default 500") if ":" in text else (f"default {text}",)
    )
    for place in (v1, v2):
        wanted = Limits(io_weight=500, io_weights=((8, 0, 300),))
        setting.apply(place, ioweight.settings(place, wanted))
        assert ioweight.limits(place) == wanted
    with pytest.raises(Unsupported, match=r"the kernel has no blkio\.bfq\.weight"):
        ioweight.settings(FakePlace(1), Limits(io_weight=500))
    with pytest.raises(InvalidArgument, match="invalid weight 9"):
        ioweight.settings(v1, Limits(io_weight=9))


def test_a_scheduler_that_knows_weights_is_found(tmp_path: Path) -> None:
    for name, text in (("a", "[none] bfq"), ("b", "none [mq-deadline] bfq")):
        (tmp_path / f"block/{name}/queue").mkdir(parents=True)
        (tmp_path / f"block/{name}/queue/scheduler").write_text(text)
    (tmp_path / "block/c").mkdir()
    assert not ioweight.is_known(str(tmp_path))
    (tmp_path / "block/a/queue/scheduler").write_text("none [bfq]")
    assert ioweight.is_known(str(tmp_path))
    assert not ioweight.is_known(str(tmp_path / "nix"))


def test_sizes_of_huge_pages_have_the_kernels_names(tmp_path: Path) -> None:
    for kib in (64, 2048, 1 << 20, 16 << 20):
        (tmp_path / f"kernel/mm/hugepages/hugepages-{kib}kB").mkdir(parents=True)
    found = hugepages.sizes(str(tmp_path))
    assert found == {"64KB": 64 << 10, "2MB": 2 << 20, "1GB": 1 << 30, "16GB": 16 << 30}
    assert hugepages.sizes(str(tmp_path / "nix")) == {}


@pytest.mark.parametrize(
    ("version", "files"),
    [
        (1, ("hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.limit_in_bytes")),
        (2, ("hugetlb.2MB.rsvd.max", "hugetlb.2MB.max")),
    ],
)
def test_huge_pages_are_limited_when_reserved_and_when_used(
    monkeypatch: pytest.MonkeyPatch, version: int, files: tuple[str, str]
) -> None:
    monkeypatch.setattr(hugepages, "sizes", lambda: {"2MB": 2 << 20})
    place = FakePlace(version, cgroup__procs="")
    place.files |= dict.fromkeys(files, "max" if version == 2 else NO_LIMIT_V1)
    assert hugepages.limits(place).hugepages == ()
    limits = Limits(hugepages=(("2MB", 4 << 20),))
    setting.apply(place, hugepages.settings(place, limits))
    assert place.written == [(file, str(4 << 20)) for file in files]
    assert hugepages.limits(place).hugepages == limits.hugepages
    with pytest.raises(InvalidArgument, match="invalid size of huge pages '1GB': this machine has"):
        hugepages.settings(place, Limits(hugepages=(("1GB", 1),)))
    with pytest.raises(Unsupported, match="the kernel counts none"):
        hugepages.settings(FakePlace(version), limits)


NUMBERS = st.sets(st.integers(0, 70), max_size=12)


def listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


@given(NUMBERS, NUMBERS)
def test_what_two_lists_have_in_common(one: set[int], other: set[int]) -> None:
    common = cpuset.common(cpuset.parse_list(listed(one)), cpuset.parse_list(listed(other)))
    assert cpuset.parse_list(common) == cpuset.parse_list(listed(one & other))
