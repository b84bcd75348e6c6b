"""Templates beyond what is compared with docker's own: limits, tables, hostile input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.cli.listing import Headers, Row
from casemate.cli.template import Template, TemplateError, parse
from casemate.cli.template.values import printf

VALUE: dict[str, Any] = {"A": 1, "B": {"C": "x", "D": [1, "two", None]}, "N": None, "T": True}


def show(text: str, value: Any = VALUE) -> str:
    return parse(text).render(value)


@given(st.text(alphabet='{}.$|()"` -=:ABCabc0,/*', max_size=40))
@settings(max_examples=500)
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        show(text)
    except TemplateError as error:
        assert "template:" in str(error)


actions = st.sampled_from(
    ["{{.A}}", "{{.B.C}}", "{{if .A}}", "{{else}}", "{{end}}", "{{range .B.D}}", "{{with .B}}",
     "{{$x := .A}}", "{{$x}}", "{{json .}}", "{{- .A -}}", "{{/* c */}}", "text", "{{len .B.D}}",
     "{{else if .N}}", "{{index .B.D 1}}", "{{.B | json}}"]
)  # fmt: skip


@given(st.lists(actions, max_size=12))
@settings(max_examples=500)
def test_any_order_of_actions_is_a_template_or_refused(pieces: list[str]) -> None:
    try:
        show("".join(pieces))
    except TemplateError:
        pass


@given(st.text(alphabet="%vsdqxtf5.-+# 0", max_size=12), st.lists(st.integers() | st.text()))
def test_printf_takes_any_format(form: str, values: list[int | str]) -> None:
    assert isinstance(printf(form, *values), str)


def test_a_mistake_names_line_column_and_source() -> None:
    with pytest.raises(TemplateError, match=r':2:4: executing "" at <\.B\.C\.X>: '):
        show("a\nb{{ .B.C.X }}")
    with pytest.raises(TemplateError, match=r"template: :2: unclosed action"):
        show("a\n{{.A")


@pytest.mark.parametrize(
    "text", ["{{if .A}}" * 60 + "{{end}}" * 60, "{{" + "(" * 60 + ".A" + ")" * 60 + "}}"]
)
def test_nesting_has_a_limit(text: str) -> None:
    with pytest.raises(TemplateError, match="nested"):
        show(text)


@pytest.mark.parametrize(
    "text",
    [
        '{{pad "x" 99999999 1}}',
        '{{printf "%99999999d" 1}}',
        "{{range 99999999}}{{end}}",
        '{{printf "%.99999999f" 1.0}}',
    ],
)
def test_a_template_cannot_ask_for_gigabytes(text: str) -> None:
    try:
        assert len(show(text)) < 1000
    except TemplateError:
        pass


@pytest.mark.parametrize("word", ["define", "template", "block", "break", "continue"])
def test_what_is_left_out_is_refused_by_name(word: str) -> None:
    with pytest.raises(TemplateError, match="not supported"):
        parse("{{" + word + ' "x"}}')


def test_the_fields_of_a_template_are_known() -> None:
    template = parse("{{if .A}}{{.B.C}}{{end}}{{range $i, $x := .D}}{{$x.E}}{{end}}{{(.F).G}}")
    assert template.fields == frozenset("ABCDEFG")


COLUMNS = {
    "Name": ("NAME", lambda item, whole: str(item["n"])),
    "ID": ("ITEM ID", lambda item, whole: "long" if whole else "short"),
}


def rows(template: Template) -> str:
    return template.render(Row(COLUMNS, {"n": "web", "Labels": {"a.b-c": "1"}}, False))


def test_rows_have_fields_labels_and_a_document() -> None:
    assert rows(parse('{{.Name}} {{.ID}} {{.Label "a.b-c"}} {{.Label "x"}}|')) == "web short 1 |"
    assert rows(parse("{{json .}}")) == '{"ID":"short","Name":"web"}'
    assert rows(parse("{{.}}")) == "map[ID:short Name:web]"


def test_headers_are_not_changed_by_functions() -> None:
    headers = Headers(COLUMNS)
    text = '{{lower .Name}}\t{{json .ID}}\t{{join (split .Name ",") "+"}}\t{{.Label "a.some-name"}}'
    assert parse(text).render_headers(headers) == "NAME\tITEM ID\tNAME\tsome name"


def test_a_header_line_shows_as_far_as_it_gets() -> None:
    assert parse("{{.Name}} {{index .Name 99}}").render_headers(Headers(COLUMNS)) == "NAME "
    with pytest.raises(TemplateError, match="no field Nope"):
        parse("{{.Nope}}").render_headers(Headers(COLUMNS))
