"""A partial signature changes what it names, and says everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from contract.json_objects import RepeatedKeys
from contract.model.manifest import InputFormat
from contract.model.signature import (
    AnswerForm,
    Decision,
    Field,
    Format,
    Kind,
    Method,
    Output,
    OutputKind,
    RowFormat,
    Signature,
)
from contract.model.signature_edits import InvalidEdit, edit_signature
from tests.support import numbers

IRIS = Signature(
    numbers("x0", "x1"),
    (Output(OutputKind.CLASS, (0, 1, 2), probabilities=True),),
    methods=(Method("predict", AnswerForm.OUTPUTS), Method("transform", AnswerForm.NUMBERS)),
)
FRAUD = Signature(numbers("x0"), (Output(OutputKind.CLASS, (0, 1), True, label_names=("none", "fraud")),))
SHOP = Signature(
    (
        Field("plan", Kind.STRING, categories=("basic", "gold")),
        Field("day", Kind.DATETIME, format=Format.DAY_FIRST),
        Field("age", Kind.NUMBER, guessed=True, aliases=("years",)),
    ),
    (Output(OutputKind.NUMBER, name="price"), Output(OutputKind.CLASS, ("no", "yes"), name="stays")),
    id_field="key",
    methods=(
        Method("predict", AnswerForm.OUTPUTS),
        Method("transform", AnswerForm.NAMED, ("a", "b")),
        Method("score_samples", AnswerForm.NUMBER),
    ),
)


def edited(signature: Signature, edits: Any, input_format: InputFormat = InputFormat.ARRAY) -> Signature:
    return edit_signature(signature, input_format, edits)


def refused(signature: Signature, edits: Any, input_format: InputFormat = InputFormat.DATAFRAME) -> dict[str, str]:
    """The messages of the errors, by field and code."""
    with pytest.raises(InvalidEdit) as invalid:
        edited(signature, edits, input_format)
    assert invalid.value.total == len(invalid.value.errors)
    return {f"{error.field or ''} {error.code}": error.message for error in invalid.value.errors}


def test_what_is_not_named_stays() -> None:
    changed = edited(SHOP, {"inputs": {"age": {"nullable": True}}})
    plan, day, age = SHOP.inputs
    assert changed == dataclasses.replace(SHOP, inputs=(plan, day, dataclasses.replace(age, nullable=True)))


def test_inputs_are_changed_by_name_in_an_object_or_a_list() -> None:
    for edits in ({"x1": {"kind": "integer"}}, [{"name": "x1", "kind": "integer"}]):
        assert edited(IRIS, {"inputs": edits}).inputs == (IRIS.inputs[0], Field("x1", Kind.INTEGER))


def test_a_list_with_all_inputs_under_new_names_renames_them_in_order() -> None:
    changed = edited(IRIS, {"inputs": [{"name": "width"}, {"name": "height", "nullable": True}]})
    assert changed.inputs == (Field("width", Kind.NUMBER), Field("height", Kind.NUMBER, nullable=True))


def test_a_list_in_another_order_moves_no_input() -> None:
    changed = edited(IRIS, {"inputs": [{"name": "x1", "nullable": True}, {"name": "x0"}]})
    assert [(field.name, field.nullable) for field in changed.inputs] == [("x0", False), ("x1", True)]


def test_names_can_be_exchanged_in_an_object() -> None:
    assert edited(IRIS, {"inputs": {"x0": {"name": "x1"}, "x1": {"name": "x0"}}}).names == ("x1", "x0")


def test_a_date_reaches_the_model_without_a_zone_unless_it_did_before() -> None:
    changed = edited(SHOP, {"inputs": {"age": {"kind": "datetime"}, "day": {"nullable": True}}})
    assert [field.naive for field in changed.inputs] == [False, False, True]
    changed = edited(SHOP, {"inputs": {"age": {"kind": "datetime", "naive": False}, "day": {"naive": True}}})
    assert [field.naive for field in changed.inputs] == [False, True, False]
    assert edited(changed, {"inputs": {"day": {"naive": True, "kind": "string"}}}).inputs[1].naive is False
    (message,) = refused(SHOP, {"inputs": {"age": {"naive": True}}}).values()
    assert message == "only an input of the kind datetime is naive; 'age' is of the kind number"


def test_a_date_reaches_the_model_in_the_zone_that_is_set() -> None:
    changed = edited(SHOP, {"inputs": {"day": {"zone": "Europe/Berlin"}}})
    assert [(field.zone, field.naive) for field in changed.inputs if field.kind is Kind.DATETIME] == [
        ("Europe/Berlin", False)
    ]
    assert edited(changed, {"inputs": {"day": {"aliases": ["date"]}}}).inputs[1].zone == "Europe/Berlin"
    for zone in ("dateutil//etc/passwd", "../../etc/passwd", "/etc/passwd", "2 hours", "", 2):
        (message,) = refused(SHOP, {"inputs": {"day": {"zone": zone}}}).values()
        assert "must be a time zone, such as 'Europe/Berlin'" in message


def test_a_kind_that_is_set_is_no_longer_guessed() -> None:
    for change in ({"kind": "number"}, {"guessed": False}):
        assert edited(SHOP, {"inputs": {"age": change}}).inputs[2] == dataclasses.replace(SHOP.inputs[2], guessed=False)


def test_categories_and_formats_go_with_the_kind_that_has_them() -> None:
    changed = edited(
        SHOP, {"inputs": {"plan": {"kind": "number"}, "day": {"kind": "string", "categories": ["a", "b"]}}}
    )
    assert (changed.inputs[0].categories, changed.inputs[1].format) == (None, None)
    assert changed.inputs[1].categories == ("a", "b")
    cleared = edited(SHOP, {"inputs": {"plan": {"categories": None}, "day": {"format": None}}, "id_field": None})
    assert (cleared.inputs[0].categories, cleared.inputs[1].format, cleared.id_field) == (None, None, None)


def test_labels_get_names_and_the_model_keeps_its_own() -> None:
    changed = edited(IRIS, {"outputs": [{"labels": {"0": "setosa", "2": "virginica"}}]})
    assert changed.output.labels == (0, 1, 2)
    assert changed.output.shown_labels == ("setosa", 1, "virginica")
    again = edited(changed, {"outputs": [{"labels": {"0": None, "1": "versicolor"}}]})
    assert again.output.label_names == (0, "versicolor", "virginica")
    assert edited(changed, {"outputs": [{"labels": None}]}) == IRIS


def test_outputs_and_the_numbers_of_methods_get_names() -> None:
    changed = edited(SHOP, {"outputs": {"price": {"name": "rent"}}, "methods": {"transform": {"names": ["c", "d"]}}})
    assert [output.name for output in changed.outputs] == ["rent", "stays"]
    assert changed.method("transform") == Method("transform", AnswerForm.NAMED, ("c", "d"))
    assert edited(IRIS, {"outputs": [{"name": "species"}]}).output.name == "species"
    named = edited(IRIS, {"methods": [{"name": "transform", "names": ["first", "second"]}]})
    assert named.methods[1] == Method("transform", AnswerForm.NAMED, ("first", "second"))


def test_a_whole_signature_may_be_sent_back_with_its_changes() -> None:
    manifest_form = json.loads(json.dumps(dataclasses.asdict(SHOP)))
    manifest_form["inputs"][2]["kind"] = "integer"
    assert edited(SHOP, manifest_form).inputs[2].kind is Kind.INTEGER


def test_a_decision_keeps_the_label_of_the_model_and_outlives_other_names() -> None:
    for label in ("fraud", 1, "1"):
        changed = edited(FRAUD, {"outputs": [{"decision": {"label": label, "threshold": 0.2}}]})
        assert changed.output.decision == Decision(1, 0.2)
    named = edited(changed, {"outputs": [{"labels": {"1": "theft"}}]})
    assert named.output.decision == Decision(1, 0.2)
    both = edited(FRAUD, {"outputs": [{"labels": None, "decision": {"label": 0, "threshold": 0.9}}]})
    assert both.output.decision == Decision(0, 0.9)
    assert edited(changed, {"outputs": [{"decision": None}]}) == FRAUD
    same = {"outputs": [{"decision": {"label": "fraud", "threshold": 0.2}}]}
    assert list(refused(changed, same)) == [" unchanged"]


@pytest.mark.parametrize(
    ("decision", "where", "said"),
    [
        ({"label": "frod", "threshold": 0.2}, ".label unknown_label", "one of 'none', 'fraud'; did you mean 'fraud'?"),
        ({"label": None, "threshold": 0.2}, ".label unknown_label", "must be one of 'none', 'fraud'"),
        ({"label": "fraud", "threshold": 1}, ".threshold out_of_range", "between 0 and 1, such as 0.2; it is 1"),
        ({"label": "fraud", "threshold": 0}, ".threshold out_of_range", "it is 0"),
        ({"label": "fraud", "threshold": True}, ".threshold out_of_range", "it is true"),
        ({"label": "fraud", "threshold": "0.2"}, ".threshold out_of_range", "it is '0.2'"),
        ({"label": "fraud"}, ".threshold out_of_range", "it is null"),
        ({"label": "fraud", "treshold": 0.2}, ".treshold unknown_key", "did you mean 'threshold'?"),
        (0.2, " not_an_object", "must be an object; it is 0.2"),
    ],
)
def test_a_wrong_decision_names_the_field_and_the_fix(decision: Any, where: str, said: str) -> None:
    errors = refused(FRAUD, {"outputs": [{"decision": decision}]})
    assert said in errors[f"outputs[0].decision{where}"]


def test_only_one_output_of_two_classes_and_probabilities_has_a_decision() -> None:
    decision = {"label": 0, "threshold": 0.2}
    for signature in (IRIS, dataclasses.replace(FRAUD, outputs=(Output(OutputKind.CLASS, (0, 1)),))):
        errors = refused(signature, {"outputs": [{"decision": decision}]})
        assert "two classes and probabilities" in errors["outputs[0].decision cannot_change"]
    assert list(refused(SHOP, {"outputs": {"stays": {"decision": decision}}})) == [
        "outputs.stays.decision cannot_change"
    ]


def test_an_edit_that_changes_nothing_is_refused() -> None:
    for edits in ({}, {"inputs": {"x0": {"kind": "number"}}}, {"outputs": [{"labels": {}}]}):
        assert list(refused(IRIS, edits)) == [" unchanged"]


@pytest.mark.parametrize(
    ("edits", "where", "said"),
    [
        ([], " not_an_object", "signature must be an object; it is a list of 0 values"),
        ({"input": {}}, "input unknown_key", "did you mean 'inputs'?"),
        ({"inputs": 1}, "inputs not_an_object", "an object of changes by name, or a list; it is 1"),
        (
            {"inputs": {"plam": {"kind": "string"}}},
            "inputs.plam unknown_input",
            "no input 'plam'; did you mean 'plan'?",
        ),
        ({"inputs": [{"name": "plam"}, {"name": "day"}, {"name": "age"}]}, "inputs.plam unknown_input", "did you mean"),
        ({"inputs": [{"kind": "string"}]}, "inputs[0] unknown_input", "has 3 entries"),
        ({"inputs": ["age"]}, "inputs[0] not_an_object", "it is 'age'"),
        ({"inputs": [{"name": "age"}, {"name": "age"}]}, "inputs.age repeated_field", "'age' is changed twice"),
        ({"inputs": {"age": {"kinds": "string"}}}, "inputs.age.kinds unknown_key", "did you mean 'kind'?"),
        (
            {"inputs": {"age": {"kind": "text"}}},
            "inputs.age.kind unknown_value",
            "must be one of number, integer, string",
        ),
        ({"inputs": {"age": {"kind": None}}}, "inputs.age.kind unknown_value", "it is null"),
        ({"inputs": {"age": {"nullable": "yes"}}}, "inputs.age.nullable not_a_boolean", "must be true or false"),
        ({"inputs": {"age": {"guessed": 1}}}, "inputs.age.guessed cannot_change", "leave it out"),
        ({"inputs": {"age": {"name": "Age"}}}, "inputs.age.name cannot_change", "give other spellings as aliases"),
        ({"inputs": {"age": {"aliases": "Age"}}}, "inputs.age.aliases not_a_list", "must be a list"),
        ({"inputs": {"age": {"aliases": ["a", "a"]}}}, "inputs.age.aliases repeated_field", "'a' more than once"),
        ({"inputs": {"age": {"aliases": [""]}}}, "inputs.age.aliases[0] not_a_string", "1 to 256 characters"),
        ({"inputs": {"age": {"aliases": ["\ud800"]}}}, "inputs.age.aliases[0] not_a_string", "must be text"),
        ({"inputs": {"age": {"aliases": ["plan"]}}}, "inputs.age repeated_field", "two inputs would be called 'plan'"),
        ({"inputs": {"age": {"categories": ["a"]}}}, "inputs.age.categories cannot_change", "of the kind number"),
        ({"inputs": {"plan": {"categories": []}}}, "inputs.plan.categories no_categories", "null allows every text"),
        ({"inputs": {"plan": {"format": "day_first"}}}, "inputs.plan.format cannot_change", "string has no format"),
        ({"inputs": {"age": {"format": "day_first"}}}, "inputs.age.format unknown_value", "decimal_comma"),
        ({"id_field": "years"}, "id_field repeated_field", "'years' is an input"),
        ({"id_field": 3}, "id_field not_a_string", "id_field must be text"),
        ({"format": "texts"}, "format cannot_change", "format is 'table', and cannot be edited"),
        ({"outputs": {"prise": {"name": "x"}}}, "outputs.prise unknown_output", "did you mean 'price'?"),
        ({"outputs": {"price": {"name": "stays"}}}, "outputs repeated_field", "two outputs would be called 'stays'"),
        ({"outputs": {"price": {"name": None}}}, "outputs.price.name not_a_string", "it is null"),
        ({"outputs": {"price": {"kind": "class"}}}, "outputs.price.kind cannot_change", "is 'number', and cannot"),
        (
            {"outputs": {"price": {"labels": {"1": "a"}}}},
            "outputs.price.labels cannot_change",
            "does not list its classes",
        ),
        (
            {"outputs": {"stays": {"labels": {"yess": "a"}}}},
            "outputs.stays.labels.yess unknown_label",
            "did you mean 'yes'?",
        ),
        ({"outputs": {"stays": {"labels": {"yes": 1}}}}, "outputs.stays.labels.yes not_a_string", "it is 1"),
        ({"outputs": {"stays": {"labels": ["a", "b"]}}}, "outputs.stays.labels not_an_object", '{"no": "a name"}'),
        ({"outputs": {"stays": {"labels": {"yes": "no"}}}}, "outputs.stays.labels repeated_field", "would be 'no'"),
        ({"methods": {"apply": {}}}, "methods.apply unknown_method", "it has 'predict', 'transform'"),
        (
            {"methods": {"transform": {"names": ["a"]}}},
            "methods.transform.names wrong_length",
            "answers 2 numbers a row",
        ),
        ({"methods": {"transform": {"names": None}}}, "methods.transform.names cannot_change", "needs names"),
        ({"methods": {"score_samples": {"names": ["a"]}}}, "methods.score_samples.names cannot_change", "no list of"),
        ({"methods": {"transform": {"answer": "number"}}}, "methods.transform.answer cannot_change", "is 'named'"),
    ],
)
def test_a_wrong_edit_names_the_field_and_the_fix(edits: Any, where: str, said: str) -> None:
    errors = refused(SHOP, edits)
    assert list(errors) == [where]
    assert said in errors[where]


def test_all_errors_are_said_at_once() -> None:
    errors = refused(SHOP, {"inputs": {"plan": {"kind": "x"}, "agee": {}}, "outputs": 3, "id_field": "plan"})
    assert len(errors) == 4


def test_a_repeated_key_is_refused() -> None:
    repeating = RepeatedKeys({"kind": "string"})
    repeating.repeated = ("kind",)
    assert list(refused(SHOP, {"inputs": {"age": repeating}})) == ["inputs.age repeated_field"]


def test_at_most_a_hundred_errors_are_kept_and_all_are_counted() -> None:
    with pytest.raises(InvalidEdit) as invalid:
        edited(SHOP, {"inputs": {f"no{number}": {} for number in range(300)}})
    assert (len(invalid.value.errors), invalid.value.total) == (100, 300)


def test_texts_stay_texts_and_records_keep_their_names() -> None:
    texts = dataclasses.replace(IRIS, format=RowFormat.TEXTS, inputs=(Field("text", Kind.STRING),))
    assert edited(texts, {"inputs": {"text": {"name": "mail"}}}, InputFormat.TEXTS).names == ("mail",)
    assert list(refused(texts, {"inputs": {"text": {"kind": "number"}}})) == ["inputs.text.kind cannot_change"]
    records = dataclasses.replace(IRIS, format=RowFormat.RECORDS)
    assert edited(records, {"inputs": {"x0": {"kind": "string"}}}, InputFormat.RECORDS).inputs[0].kind is Kind.STRING
    assert list(refused(records, {"inputs": {"x0": {"name": "y"}}})) == ["inputs.x0.name cannot_change"]
    assert list(refused(records, {"inputs": {"x0": {"nullable": True}}})) == ["inputs.x0.nullable unknown_key"]
