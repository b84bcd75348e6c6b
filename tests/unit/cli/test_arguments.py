"""Command lines are read as docker (pflag) reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli.arguments import Arguments, HelpWanted, parse
from casemate.cli.failure import BadUsage
from casemate.cli.options import INT, LIST, SWITCH, Option

OPTIONS = (
    Option("all", SWITCH, "", short="a"),
    Option("tty", SWITCH, "", short="t"),
    Option("publish", LIST, "", short="p"),
    Option("name", "string", "", short="n", default="none"),
    Option("last", INT, "", default=-1),
    Option("network", "network", "", aliases=("net",)),
    Option("proxy", SWITCH, "", default=True),
    Option("timeout", INT, ""),
    Option("time", INT, "", replaced_by="timeout"),
)


def read(*words: str, mixed: bool = True) -> Arguments:
    return parse(OPTIONS, list(words), mixed)


def test_defaults_hold_until_something_is_given() -> None:
    found = read()
    assert (found.switch("all"), found.switch("proxy")) == (False, True)
    assert (found.text("name"), found.number("last"), found.items("publish")) == ("none", -1, [])
    assert not found.given("name")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--name", "x"], "name", "x"),
        (["--name=x"], "name", "x"),
        (["--name="], "name", ""),
        (["--name=a=b"], "name", "a=b"),
        (["-n", "x"], "name", "x"),
        (["-nx"], "name", "x"),
        (["-n=x"], "name", "x"),
        (["-an", "x"], "name", "x"),
        (["-atnx"], "name", "x"),
        (["--name", "--all"], "name", "--all"),
        (["--name", "a", "--name", "b"], "name", "b"),
    ],
)
def test_a_value_can_be_given_in_every_spelling(words: list[str], name: str, value: str) -> None:
    found = read(*words)
    assert found.text(name) == value
    assert found.given(name)


@pytest.mark.parametrize(
    ("word", "state"),
    [("-a", True), ("--all", True), ("--all=false", False), ("-a=0", False), ("--all=T", True)],
)
def test_a_switch_can_be_switched_off(word: str, state: bool) -> None:
    assert read(word).switch("all") is state


def test_switches_can_be_joined_and_the_last_one_takes_a_value() -> None:
    found = read("-atp8080:80", "-p=1", "-p", "2")
    assert found.switch("all") and found.switch("tty")
    assert found.items("publish") == ["8080:80", "1", "2"]


def test_an_alias_is_the_option_itself() -> None:
    assert read("--net", "a", "--network", "b").items("network") == ["a", "b"]


def test_options_may_follow_arguments_only_when_mixed() -> None:
    assert read("x", "-a", "y").rest == ["x", "y"]
    unmixed = read("-t", "x", "-a", "y", mixed=False)
    assert unmixed.rest == ["x", "-a", "y"]
    assert unmixed.switch("tty") and not unmixed.switch("all")


def test_two_dashes_end_the_options() -> None:
    assert read("-a", "--", "-t", "--").rest == ["-t", "--"]
    assert read("-").rest == ["-"]


def test_a_deprecated_option_works_with_a_warning() -> None:
    found = read("--time", "3")
    assert found.number("time") == 3
    assert found.warnings == ["Flag --time has been deprecated, use --timeout instead"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["--foo=1"], "unknown flag: --foo"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ax"], "unknown shorthand flag: 'x' in -ax"),
        (["--name"], "flag needs an argument: --name"),
        (["-an"], "flag needs an argument: 'n' in -an"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---a"], "bad flag syntax: ---a"),
        (["--all=maybe"], 'invalid argument "maybe" for "-a, --all" flag: '),
        (["--last", "x"], 'invalid argument "x" for "--last" flag: '),
    ],
)
def test_mistakes_are_told_with_dockers_words(words: list[str], message: str) -> None:
    with pytest.raises(BadUsage) as caught:
        read(*words)
    assert str(caught.value).startswith(message)
    assert caught.value.status == 125


def test_a_misspelled_option_gets_suggestions() -> None:
    with pytest.raises(BadUsage) as caught:
        read("--pubish")
    assert caught.value.suggestions == ["--publish"]


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-ah"], ["x", "--help"]])
def test_help_is_wanted_wherever_it_is_asked_for(words: list[str]) -> None:
    with pytest.raises(HelpWanted):
        read(*words)


@given(st.lists(st.text(alphabet="-=abnptx19", max_size=6), max_size=6), st.booleans())
def test_any_words_are_read_or_refused(words: list[str], mixed: bool) -> None:
    try:
        found = read(*words, mixed=mixed)
    except (BadUsage, HelpWanted):
        return
    assert all(word in words for word in found.rest)


@given(st.lists(st.text(max_size=8)))
def test_what_is_behind_two_dashes_is_left_alone(words: list[str]) -> None:
    assert read("--", *words).rest == words
