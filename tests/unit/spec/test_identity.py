"""Who runs in a container, by user databases that an attacker has written."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.spec.identity import MAX_ID, Identity, resolve

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
# comment:x:5:5::/:
www:x:33:33:www:/var/www:/bin/sh

short:x:700
shorter:x:701:702
1000:x:0:0:a trap:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/sh
"""
GROUP = b"""root:x:0:
adm:x:4:www,daemon
shadow:x:42:
docker:x:998:www
1000:x:0:
short:x:700
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Identity(0, 0, (0,), "/root")),
        ("root", Identity(0, 0, (0,), "/root")),
        ("www", Identity(33, 33, (33, 4, 998), "/var/www")),
        ("33", Identity(33, 33, (33, 4, 998), "/var/www")),
        ("www:shadow", Identity(33, 42, (42,), "/var/www")),
        ("www:7", Identity(33, 7, (7,), "/var/www")),
        (":33", Identity(0, 33, (33,), "/root")),
        ("www:", Identity(33, 33, (33, 4, 998), "/var/www")),
        ("2000", Identity(2000, 0, (0,), "/")),
        ("2000:2001", Identity(2000, 2001, (2001,), "/")),
        ("0042", Identity(42, 0, (0,), "/")),
        (str(MAX_ID), Identity(MAX_ID, 0, (0,), "/")),
        ("short", Identity(700, 0, (0,), "/")),
        ("shorter", Identity(701, 702, (702,), "/")),
    ],
)
def test_names_and_numbers(text: str, expected: Identity) -> None:
    assert resolve(text, PASSWD, GROUP) == expected


def test_a_number_is_a_number_whatever_is_called_so() -> None:
    """CVE-2016-3697."""
    assert resolve("1000", PASSWD, GROUP).uid == 1000
    assert resolve("www:1000", PASSWD, GROUP).gid == 1000
    assert resolve("", PASSWD, GROUP, ("1000",)).groups == (0, 1000)


@pytest.mark.parametrize(
    "text",
    [
        "2147483648",
        "4294967295",
        "4294967296",
        "99999999999999999999999",
        "-1",
        "+1",
        "-0",
        "0x0",
        "0o7",
        "1e3",
        "1_000",
        "1.0",
        "\uff11\uff10\uff10\uff10",  # full-width digits
        "\u0661",
        "\u00b2",
        "1000\uff10",
        " 0",
        "root\0",
        "root\n",
        "\x1b[2J",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    """CVE-2024-40635, CVE-2026-46680."""
    for wanted in (text, f"www:{text}", f"0:{text}"):
        with pytest.raises(InvalidArgument, match=r"user|group"):
            resolve(wanted, PASSWD, GROUP)
    with pytest.raises(InvalidArgument, match="group"):
        resolve("", PASSWD, GROUP, (text,))


@pytest.mark.parametrize("text", ["nosuch", "www:nosuch", "root:www:x", "comment", "# comment"])
def test_an_unknown_name_is_told(text: str) -> None:
    with pytest.raises(InvalidArgument, match="unable to find"):
        resolve(text, PASSWD, GROUP)


def test_without_databases_only_numbers_are_known() -> None:
    assert resolve("5:6", b"", b"") == Identity(5, 6, (6,), "/")
    assert resolve("", b"", b"") == Identity(0, 0, (0,), "/")
    with pytest.raises(InvalidArgument):
        resolve("root", b"", b"")


def test_the_primary_group_is_among_the_groups() -> None:
    """CVE-2022-36109 and its family."""
    for text in ("", "www", "33:42", "4000", "4000:5"):
        identity = resolve(text, PASSWD, GROUP)
        assert identity.gid in identity.groups


def test_a_user_without_a_name_is_in_no_group() -> None:
    assert resolve("4000", b":x:4000:4000::/:\n", b"shadow:x:42:\nempty:x:43:,,\n").groups == (0,)


@pytest.mark.parametrize(
    "line",
    [
        b"evil:x:4294967296:0::/:/bin/sh",
        b"evil:x:-1:0::/:/bin/sh",
        b"evil:x::0::/:/bin/sh",
        "evil:x:\uff10:0::/:/bin/sh".encode(),
        b"evil:x:0:4294967296::/:/bin/sh",
        b"evil",
        b"evil:x",
        b"evil:x:0\0:0::/:/bin/sh",
        b"evil:x:1:1::/home\0/x:/bin/sh",
    ],
)
def test_a_line_that_says_nothing_right_is_no_user(line: bytes) -> None:
    with pytest.raises(InvalidArgument, match="unable to find user evil"):
        resolve("evil", line + b"\n", b"")


def test_a_user_without_a_home_lives_at_the_root() -> None:
    assert resolve("app", b"app:x:9:9:::\n", b"").home == "/"


def test_the_first_of_two_counts() -> None:
    passwd = b"a:x:1:1::/one:\na:x:2:2::/two:\nb:x:1:3::/three:\n"
    assert resolve("a", passwd, b"").home == "/one"
    assert resolve("1", passwd, b"").gid == 1


def test_bytes_that_are_no_text_do_no_harm() -> None:
    passwd = b"\xff\xfe:x:0:0::/:\nwww:x:33:33:\xe9t\xe9:/h\xf6me:/bin/sh\n"
    assert resolve("www", passwd, b"\x80:x:1:www\n") == Identity(33, 33, (33, 1), "/h\udcf6me")


def test_too_many_groups_are_refused_not_cut_off() -> None:
    """CVE-2026-47262: a group file without end."""
    group = b"".join(b"g%d:x:%d:www\n" % (n, n + 100) for n in range(2000))
    with pytest.raises(InvalidArgument, match="more than 1000 groups"):
        resolve("www", PASSWD, group)
    million = b"adm:x:4:" + b",".join(b"u%d" % n for n in range(100_000)) + b",www\n"
    assert 4 in resolve("www", PASSWD, million).groups


@given(st.text(max_size=20), st.binary(max_size=200), st.binary(max_size=200))
def test_anything_gives_valid_ids_or_is_refused(text: str, passwd: bytes, group: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        found = resolve(text, passwd, group)
        assert all(0 <= n <= MAX_ID for n in (found.uid, found.gid, *found.groups))
        assert found.home and "\0" not in found.home
