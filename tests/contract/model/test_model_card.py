"""The card of a version says what is known of it, whatever names, values and facts hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from contract.model.card_text import card_files, markdown, sections
from contract.model.manifest import ColumnProfile, DataProfile, InputFormat, ModelManifest, TrainingData
from contract.model.model_card import Card, kept_card, model_card
from contract.model.repository import Repository
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from tests.support import Sum, numbers, write_version

LOAN = [
    Field("income", Kind.NUMBER),
    Field("area", Kind.STRING, nullable=True, categories=("Rural", "Urban", "Semiurban")),
    Field("since", Kind.DATETIME),
    Field("country", Kind.STRING),
]
PROFILE = DataProfile(
    200,
    (
        ColumnProfile(0, (150.0, 900.0, 81000.0), counts=(100, 100)),
        ColumnProfile(4, values=("Rural", "Urban"), counts=(190, 6)),
        ColumnProfile(0, (0.0, 86400.0 * 365), counts=(200,)),
        ColumnProfile(0, values=("DE",), counts=(200,)),
    ),
    (ColumnProfile(0, values=(0, 1), counts=(150, 50)),),
)
FACTS: dict[str, Any] = {
    "verdict": "Accuracy 0.8 on held-out rows.",
    "tested": {"rows": 100, "held_out": True, "sample": False},
    "headline": "accuracy",
    "metrics": {"accuracy": 0.8, "baseline_accuracy": 0.6, "cv_accuracy": 0.79, "log_loss": 0.41234567},
    "intervals": {"accuracy": [0.71, 0.87]},
    "refused": None,
    "leaks": [],
    "remarks": ["3 rows are there twice"],
    "slices": {
        "metric": "accuracy",
        "items": [
            {"input": "area", "slice": "'Rural'", "rows": 40, "value": 0.5, "interval": [0.35, 0.65], "worse": True}
        ],
    },
    "answers": {
        "confusion": {"labels": ["no", "yes"], "counts": [[20, 30], [0, 50]]},
        "calibration": {
            "label": "no",
            "gap": 0.05,
            "predicted": [0.1, 0.9],
            "observed": [0.4, 0.8],
            "low": [0.3, 0.7],
            "high": [0.5, 0.9],
            "rows": [50, 50],
        },
    },
}


@pytest.fixture
def loan(models: Path) -> ModelManifest:
    """A version of a model of classes."""
    output = Output(OutputKind.CLASS, (0, 1), probabilities=True, label_names=("no", "yes"))
    return write_version(
        models,
        "loan",
        Sum(),
        LOAN,
        output,
        version=2,
        id_field="customer",
        training_data=TrainingData("CSV file loan.csv", 300, "cd" * 32, "approved"),
        profile=PROFILE,
        parameters={"depth": 6},
    )


def section(card: Card, key: str) -> str:
    """Return all words of a section."""
    (found,) = (one for one in sections(card) if one.key == key)
    cells = [cell for table in found.tables for row in table for cell in row]
    return "; ".join([*(f"{term}: {text}" for term, text in found.facts.items()), *found.points, *cells])


def test_a_card_says_what_is_predicted_from_what(loan: ModelManifest) -> None:
    card = model_card(loan, FACTS)
    assert card["predicts"]["outputs"] == [
        {"name": None, "kind": "class", "labels": ["no", "yes"], "probabilities": True}
    ]
    income, area, since, _ = card["inputs"]
    assert (income["range"], income["nulls"], income["values"]) == ([150.0, 81000.0], 0, {})
    assert area["categories"] == ["Rural", "Urban", "Semiurban"]
    assert (area["values"], area["nulls"], area["range"]) == ({"Rural": 190, "Urban": 6}, 4, None)
    assert since["range"] == ["1970-01-01", "1971-01-01"]
    assert "target: approved" in section(card, "predicts")
    assert "income; number; no; –; 150 to 81,000; –; 0" in section(card, "inputs")


def test_figures_have_their_interval_and_their_baseline(loan: ModelManifest) -> None:
    figures = model_card(loan, FACTS)["figures"]
    assert figures["metrics"] == [
        {
            "metric": "accuracy",
            "value": 0.8,
            "interval": [0.71, 0.87],
            "baseline": 0.6,
            "cross_validated": 0.79,
        },
        {"metric": "log_loss", "value": 0.412346, "interval": None, "baseline": None, "cross_validated": None},
    ]
    assert "accuracy; 0.800; 0.710 to 0.870; 0.600; 0.790" in section(model_card(loan, FACTS), "figures")


def test_limits_are_sentences(loan: ModelManifest) -> None:
    assert model_card(loan, FACTS)["limits"] == [
        "It confuses classes: of 50 tested rows of 'no', it answers 30 (60.0 %) with 'yes'.",
        "Its probabilities are off: in 1 of 2 ranges, more or less came true than they say.",
        "It is significantly worse where area is 'Rural': there its accuracy is 0.500.",
        "No row of the training has area = 'Semiurban', though it is accepted.",
        "Fewer than 10 rows of the training have area = 'Urban', area = null.",
        "All rows of the training have the same value in country.",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tested": {"rows": 100, "held_out": False, "sample": False}}, "that it was trained on, so they flatter it"),
        ({"tested": {"rows": 100, "held_out": False, "sample": True}}, "of the sample of the import"),
        ({"tested": {"rows": 12, "held_out": True, "sample": False}}, "Only 12 rows were tested"),
        ({"metrics": {"accuracy": 0.5, "baseline_accuracy": 0.6}}, "same answer: accuracy 0.500 against 0.600"),
        ({"refused": "it is worse"}, "did not promote it: it is worse."),
        ({"leaks": ["'a' alone predicts 'b'"]}, "too good to be true: 'a' alone predicts 'b'."),
        ({"answers": {"confusion": {"labels": ["no", "yes"], "counts": [[0, 5], [0, 95]]}}}, "never answers 'no'"),
    ],
)
def test_what_makes_figures_worth_less_is_a_limit(loan: ModelManifest, changes: Any, sentence: str) -> None:
    assert any(sentence in limit for limit in model_card(loan, {**FACTS, **changes})["limits"])


def test_the_card_of_a_number_has_no_classes(models: Path) -> None:
    output = ColumnProfile(0, (7.0, 7.0), counts=(20,))
    profile = DataProfile(20, (ColumnProfile(0, (0.0, 1.0), counts=(20,)),) * 2, (output,))
    manifest = write_version(models, "sum", Sum(), numbers("a", "b"), profile=profile)
    facts = {**FACTS, "answers": {"residuals": {}}, "slices": {"metric": "mean_absolute_error", "items": []}}
    card = model_card(manifest, facts)
    assert card["predicts"]["outputs"][0]["kind"] == "number"
    assert card["calibration"] is None
    assert card["limits"] == ["Its answer to every row that was tried is the same: 7.0."]


def test_a_text_and_an_import_without_a_sample_say_what_is_not_known(models: Path) -> None:
    signature = Signature(
        (Field("text", Kind.STRING),), (Output(OutputKind.CLASS, ("ham", "spam")),), None, RowFormat.TEXTS
    )
    texts = write_version(models, "spam", Sum(), signature.inputs, input_format=InputFormat.TEXTS)
    texts = dataclasses.replace(texts, signature=signature)
    plain = write_version(models, "sum", Sum(), numbers("a"))
    nothing, unseen = (
        "Nothing shows how good it is: it has no report.",
        "What its training saw of the inputs is not known",
    )
    assert model_card(texts, None)["limits"] == [nothing, f"{unseen}: texts and records have no ranges."]
    card = model_card(plain, None)
    assert card["limits"] == [nothing, f"{unseen}: it came without a sample."]
    assert [one.key for one in sections(card)] == ["predicts", "limits", "inputs", "training"]


def test_a_kept_card_is_read_and_a_missing_or_broken_one_is_made(models: Path, loan: ModelManifest) -> None:
    repository, folder = Repository(models), models / "loan/versions/2/report"
    made = kept_card(repository, loan)
    assert made == model_card(loan, None)
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(FACTS))
    assert kept_card(repository, loan) == model_card(loan, FACTS) != made
    for name, content in card_files({**made, "limits": ["as it was kept"]}).items():
        (folder / name).write_bytes(content)
    assert kept_card(repository, loan)["limits"] == ["as it was kept"]
    for broken in ("{", "[]", '{"schema_version": 2}'):
        (folder / "card.json").write_text(broken)
        assert kept_card(repository, loan) == model_card(loan, FACTS)


HOSTILE = [
    "a|b",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "[link](javascript:alert(1))",
    "![image](http://example.org/x.png)",
    "*strong* _em_ __strong__ a_b_c ~~gone~~",
    "# heading",
    "- point",
    "1. point",
    "1.",
    "12) point",
    "> quote",
    "line\n\n# one\n| a |",
    "http://example.org www.example.org someone@example.org",
    "&lt;b&gt; \\ $x$",
    "\u202ereversed\x1b[31m",
    "---",
    "\t    code",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_markdown(models: Path, text: str) -> None:
    field = Field(text, Kind.STRING, nullable=True, categories=(text,))
    data = TrainingData(text, 3, "ab" * 32, text)
    profile = DataProfile(3, (ColumnProfile(0, values=(text,), counts=(3,)),), ())
    output = Output(OutputKind.CLASS, (text, "b"))
    manifest = write_version(models, "m", Sum(), [field], output, training_data=data, profile=profile, notes=text)
    card = {**model_card(manifest, {**FACTS, "verdict": text, "leaks": [text]}), "warnings": [text]}
    tokens = (
        MarkdownIt("commonmark", {"html": True, "linkify": False})
        .enable(["table", "strikethrough"])
        .parse(markdown(card))
    )
    inline = [child for token in tokens for child in token.children or ()]
    assert {child.type for child in inline} == {"text"}
    blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in tokens}
    assert blocks <= {
        "heading",
        "inline",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "bullet_list",
        "list_item",
        "paragraph",
    }
    assert [token.tag for token in tokens if token.type == "heading_open"].count("h1") == 1
    shown = " ".join(text.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd").split())
    written = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
    assert shown in written
    cells = {" ".join(cell.split()) for one in sections(card) for table in one.tables for row in table for cell in row}
    assert cells <= {*written}
    rows = [token.content for token in tokens if token.type == "inline"]
    assert "http://" not in " ".join(rows) and "www." not in " ".join(rows)  # GitHub makes links of such words


@pytest.mark.parametrize(
    "facts",
    [
        {"metrics": [1]},
        {"metrics": {"accuracy": "high"}, "tested": 7, "answers": [], "slices": "x", "remarks": 5},
        {"answers": {"confusion": {"labels": 3}, "calibration": {"predicted": [1], "low": 2}}, "tested": {}},
        {"slices": {"items": [{"worse": True}]}, "leaks": [{"a": [[[[[[[[1]]]]]]]]}], "verdict": {"a": float("nan")}},
        {"slices": {"metric": "m" * 10_000, "items": [{"value": 10**400, "interval": [1, "x"], "worse": True}] * 500}},
    ],
)
def test_facts_of_any_shape_make_a_card(loan: ModelManifest, facts: Any) -> None:
    card = model_card(loan, facts)
    text = json.dumps(card, allow_nan=False)
    assert len(text) < 100_000
    assert markdown(card).startswith("# loan, version 2\n")
    assert [field["name"] for field in card["inputs"]] == ["income", "area", "since", "country"]
