"""The text of ROUTES_FILE: what it means, and what is wrong with it, in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from gateway.protocols.mapped_answers import AnswerColumn, Constant, EachRow, JsonAnswer, TextAnswer
from gateway.protocols.mapped_rows import RequestRows
from gateway.protocols.routes_file import RoutesFileError, read
from tests.support import PROJECT


def route(**changes: str | None) -> str:
    """The text of a file with one route; values are in TOML, None leaves a setting out."""
    settings = {"method": '"POST"', "path": '"/mass"', "model": '"boston"', "answer": '{ x = "prediction" }', **changes}
    return "[[routes]]\n" + "\n".join(f"{name} = {value}" for name, value in settings.items() if value is not None)


def test_every_setting() -> None:
    text = route(
        method='"GET"',
        path='"/a/<x>/<y_2>"',
        model='"loan@canary"',
        numbers="{ N = 0, Y = 1.5 }",
        status="201",
        invalid="400",
        failed="500",
        expired="408",
        error='{ m = "message" }',
        key='"old"',
    )
    (mapped,) = read(text)
    assert (mapped.method, mapped.path, mapped.variables, mapped.model) == (
        "GET",
        "/a/<x>/<y_2>",
        ("x", "y_2"),
        "loan@canary",
    )
    assert (mapped.numbers, mapped.status, mapped.error, mapped.key) == (
        {"N": 0, "Y": 1.5},
        201,
        {"m": "message"},
        "old",
    )
    assert {mapped.statuses[code] for code in ("malformed_body", "invalid_instances", "body_too_large")} == {400}
    assert {mapped.statuses[code] for code in ("model_error", "timeout", "worker_crashed")} == {500}
    assert (mapped.statuses["not_in_time"], mapped.statuses["unknown_model"]) == (408, 503)


def test_without_statuses_ours_hold() -> None:
    (mapped,) = read(route())
    assert mapped.statuses == {"unknown_model": 503, "no_current_version": 503}


def test_answers() -> None:
    def answer(text: str) -> object:
        return read(route(answer=text))[0].answer

    assert answer('"{prediction:.2f}"') == TextAnswer("", 2, "")
    assert answer('"= {prediction} !"') == TextAnswer("= ", None, " !")
    rows = EachRow({"0": AnswerColumn.ID, "1": AnswerColumn.PREDICTION}, as_text=True)
    members = {"n": AnswerColumn.PROBABILITIES, "p": rows}
    assert answer('{ n = "probabilities", p = { rows_as_text = { 0 = "id", 1 = "prediction" } } }') == JsonAnswer(
        members
    )
    assert answer('["prediction"]') == JsonAnswer(EachRow(AnswerColumn.PREDICTION))
    assert answer('["id", "prediction"]') == JsonAnswer((AnswerColumn.ID, AnswerColumn.PREDICTION))
    assert answer('[["prediction"]]') == JsonAnswer(EachRow((AnswerColumn.PREDICTION,)))
    assert answer('{ data = { names = { constant = ["x"] }, ndarray = ["probabilities"] } }') == JsonAnswer(
        {"data": {"names": Constant(["x"]), "ndarray": EachRow(AnswerColumn.PROBABILITIES)}}
    )


def test_how_clients_send_their_rows() -> None:
    (mapped,) = read(route(rows='"data.ndarray"', inputs='{ area = "sqft" }', defaults='{ area = 0, sea = "no" }'))
    assert mapped.rows == RequestRows(("data", "ndarray"), {"area": "sqft"}, {"area": 0, "sea": "no"})
    (mapped,) = read(route(defaults="{ area = 0 }", default_nulls="true"))
    assert mapped.rows == RequestRows(defaults={"area": 0}, default_nulls=True)
    assert read(route())[0].rows == RequestRows()


def test_malformed_and_unsupported_have_the_status_of_invalid_or_their_own() -> None:
    (mapped,) = read(route(invalid="404", malformed="400"))
    assert (mapped.statuses["malformed_body"], mapped.statuses["unsupported_media_type"]) == (400, 404)
    (mapped,) = read(route(unsupported="415", invalid="404"))
    assert (mapped.statuses["malformed_body"], mapped.statuses["unsupported_media_type"]) == (404, 415)


@dataclass(frozen=True)
class Wrong:
    text: str
    said: str


WRONG = [
    Wrong("[[routes", "is not TOML: "),
    Wrong("", "has no routes; begin each with the line [[routes]]"),
    Wrong("routes = []", "has no routes; begin each"),
    Wrong("routes = [1]", "has no routes; begin each"),
    Wrong("[routes]\n", "has no routes; begin each"),
    Wrong("model = 1\n" + route(), "has 'model'; begin each route with the line [[routes]]"),
    Wrong("x = " + "[" * 5000, "is nested too deeply"),
    Wrong(route(modle='"x"'), "route 1 (POST /mass) has the unknown setting 'modle' (did you mean 'model'?)"),
    Wrong(route(model=None), "route 1 (POST /mass) has no 'model'; a route needs 'method', 'path', 'model', 'answer'"),
    Wrong(route() + "\n" + route(method='"PUT"'), "route 2 (PUT /mass) has method = 'PUT'; it must be 'GET' or 'POST'"),
    Wrong(route(path="1"), "has path = 1; it must be a text"),
    Wrong(route(path='""'), "has path = ''; it must be a text"),
    Wrong(route(path='"mass"'), "has path = 'mass'; begin it with a slash"),
    Wrong(route(path='"/a b"'), "has 'a b' in its path; write letters, digits, -._~, or <name>"),
    Wrong(route(path='"/a<b>"'), "has 'a<b>' in its path"),
    Wrong(route(path='"/a\\nb"'), "route 1 (POST) has 'a\\nb' in its path"),
    Wrong(route(path='"/<float:a>"'), "has '<float:a>' in its path; write an input of the model, or its alias: <area>"),
    Wrong(route(path='"/<a>"'), "is a POST with <a> in its path; its rows come in the body"),
    Wrong(route(method='"GET"'), "is a GET whose path names no input; write <name> where"),
    Wrong(route(method='"GET"', path='"/<a>/<a>"'), "has <a> twice in its path"),
    Wrong(route(method='"GET"', path='"/<reference>"'), "has <reference> in its path, a name that Modelgate uses"),
    *(
        Wrong(route(model=f'"{name}"'), f"has model = '{name}'; write loan, loan@3 or loan@canary")
        for name in ("Loan", "loan@", "@3", "inbox", "a/b")
    ),
    Wrong(route(answer="1"), 'has answer = 1; write a text, a list or an object such as { class = "prediction" }'),
    Wrong(route(answer="{}"), "has answer = an object; write a text, a list or an object such as"),
    Wrong(route(answer="[]"), "has answer = a list of 0 values; write a text, a list or an object such as"),
    Wrong(route(answer='"x"'), "has answer = 'x'; write a text with {prediction} or {prediction:.2f}"),
    *(
        Wrong(route(answer=f'"{text}"'), "write a text with {prediction}")
        for text in (
            "{prediction}{prediction}",
            "{prediction.__class__}",
            "{prediction:9999999d}",
            "{0}",
            "{prediction!r}",
        )
    ),
    Wrong(route(answer='{ x = "output" }'), "has an answer whose 'x' is 'output', not one of 'prediction', 'prob"),
    Wrong(route(answer="{ x = [1] }"), "has an answer whose 'x' is 1, not one of"),
    Wrong(route(answer="{ x = [] }"), "has an answer whose 'x' is a list of 0 values, not one of"),
    Wrong(route(answer="{ x = { rows = 1 } }"), "has an answer whose 'rows' is 1, not one of"),
    Wrong(route(answer='[{ x = { rows_as_text = { a = "id" } } }]'), "has an answer whose 'x' is no { rows_as_text"),
    Wrong(route(answer="{ x = { rows_as_text = {} } }"), "has an answer whose 'x' is no { rows_as_text"),
    Wrong(route(answer='{ x = { rows_as_text = { a = "b" } } }'), "has an answer whose 'a' is 'b', not one of"),
    Wrong(route(numbers="{}"), "has numbers = an object; write an object such as { no = 0, yes = 1 }"),
    *(
        Wrong(route(numbers=f"{{ N = {value} }}"), "for the label 'N'; it must be a number")
        for value in ("true", "nan", '"0"')
    ),
    Wrong(route(status="204"), "has status = 204; it must be a status from 200 to 203"),
    Wrong(route(invalid="200"), "has invalid = 200; it must be a status from 400 to 599"),
    Wrong(route(failed='"500"'), "has failed = '500'; it must be a status"),
    Wrong(route(expired="true"), "has expired = true; it must be a status"),
    Wrong(
        route(error='{ x = "detail" }'), "has an error whose 'x' is 'detail', not one of 'status', 'code', 'message'"
    ),
    Wrong(route(rows='"data..x"'), "has rows = 'data..x'; write the names that lead to them: data.ndarray"),
    Wrong(route(method='"GET"', path='"/<a>"', rows='"data"'), "is a GET with rows, which say where the rows are in"),
    Wrong(route(inputs="{}"), 'has inputs = an object; write an object such as { area = "sqft" }'),
    Wrong(route(inputs="{ a = 1 }"), "has 1 for the name 'a'; it must be an input of the model"),
    Wrong(route(defaults="{ a = [] }"), "has the default a list of 0 values for 'a'; write a number, a text or"),
    Wrong(route(defaults="{ a = nan }"), "for 'a'; write a number, a text or a boolean"),
    Wrong(route(default_nulls="1"), "has default_nulls = 1; it must be true or false"),
    Wrong(route(default_nulls="true"), "has default_nulls without defaults; write the values that stand for nulls"),
    Wrong(route(media_type='"html"'), "has media_type = 'html'; write one such as text/html; charset=utf-8"),
    Wrong(route(media_type='"text/html\\nX: y"'), "; write one such as text/html; charset=utf-8"),
    Wrong(route(require_media_type="1"), "has require_media_type = 1; it must be true or false"),
    Wrong(
        route(method='"GET"', path='"/<a>"', require_media_type="true"),
        "is a GET with require_media_type, which is about bodies",
    ),
    Wrong(route(malformed="200"), "has malformed = 200; it must be a status from 400 to 599"),
    Wrong(route(trailing_slash="1"), "has trailing_slash = 1; it must be true or false"),
    Wrong(route(path='"/mass/"', trailing_slash="false"), "a path that ends with a slash; leave out"),
    Wrong(route(key='"My key"'), "has key = 'My key', which names no key; `python -m gateway key list` lists them"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.said[:60])
def test_a_file_that_cannot_be_used_is_refused_in_one_line(wrong: Wrong) -> None:
    with pytest.raises(RoutesFileError) as refused:
        read(wrong.text)
    assert wrong.said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("page", ["how-to/keep-old-clients.md", "reference/routes-file.md"])
def test_the_files_of_the_pages_can_be_read(page: str) -> None:
    text = (PROJECT / "docs" / page).read_text()
    for block in re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        assert read(block)
    for answer in re.findall(r"`answer = (.*?)`", text):
        assert read(route(answer=answer))
    for setting, value in re.findall(r"`(numbers|error) = (\{.*?\})`", text):
        assert read(route(**{setting: value}))


def test_the_example_has_the_five_services() -> None:
    routes = read((PROJECT / "examples" / "old-clients" / "routes.toml").read_text())
    assert [mapped.model for mapped in routes] == ["blobs", "loan", "iris", "boston", "sepals"]
