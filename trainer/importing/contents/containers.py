"""Puts the parts of a dict, list or tuple together to one estimator: steps before the model, decoders after it, and
several models of the same rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import LabelBinarizer, LabelEncoder, MultiLabelBinarizer, OrdinalEncoder

from contract.wording import counted, listed
from modelgate_artifacts import ColumnSteps, DecodedTarget, ModelsByName
from scoring.held_objects import objects_in
from scoring.methods import has_method
from trainer.importing import Refused
from trainer.importing.contents.beside import column_of, is_of_target, labels_of
from trainer.importing.contents.step_order import TEXT, in_order, keeps_names, names_in, names_out, width_in, width_out
from trainer.importing.inputs.outputs import answers_rows
from trainer.importing.inputs.sample import Sample

_DEEPEST, _LONGEST = 4, 100
"""How deep steps are looked for in containers, and in lists of how many items: longer ones are rows."""
_ONE_PIPELINE = "put every step into one Pipeline with the model, and save that"
_OF_TARGET = re.compile(r"(^|_)(y|targets?|class(es)?|outputs?|response)(_|$)")


@dataclass
class Composition:
    """The estimator that the parts make; `columns` are its inputs if only their order in the file shows them; `used`
    are the keys of the parts in it; `warnings` say what was put together, `doubts` what a person has to decide."""

    estimator: Any
    columns: tuple[str, ...] | None = None
    used: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)


def is_model(part: Any) -> bool:
    """Return whether it answers rows, and not only as a step before a model."""
    return answers_rows(part) and (has_method(part, "predict") or not has_method(part, "transform"))


def transforms(part: Any) -> bool:
    # Objects of pandas have a `transform` too, but are not steps of a model.
    return hasattr(part, "transform") and not isinstance(part, pd.DataFrame | pd.Series | type)


def flattened(parts: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Return the parts, with steps and models that lie in dicts or lists of their own beside them."""
    flat: dict[str, Any] = {}
    for key, part in parts.items():
        inside = part if isinstance(part, Mapping) else {}
        if isinstance(part, list | tuple) and len(part) <= _LONGEST:
            inside = {str(index): member for index, member in enumerate(part)}
        looked_into = depth < _DEEPEST and not _is_step(part) and not _is_by_column(part)
        within = flattened({str(k): v for k, v in inside.items()}, depth + 1) if looked_into else {}
        if any(map(_is_step, within.values())):
            flat |= {f"{key}.{name}": step for name, step in within.items()}
        else:
            flat[key] = part
    return flat


def compose(parts: Mapping[str, Any], columns: Sequence[str], sample: Sample | None) -> Composition | None:
    """Return the estimator that the parts make, or None if no part is a model or a step. `columns` is a list of names
    that lies beside them, if there is one. Raises `Refused` if they do not fit together in one way."""
    repeated = _repeated(parts)
    parts = {key: part for key, part in parts.items() if key not in repeated}
    models = {key: part for key, part in parts.items() if is_model(part)}
    steps = {
        key: part for key, part in parts.items() if key not in models and transforms(part) and not _is_target(part)
    }
    if not models and not steps:
        return None
    made = Composition(None, used=repeated)
    table = next((known for model in models.values() if (known := names_in(model))), None) or tuple(columns)
    by_column, decoders = _encoders(parts, table, made)
    targets = {key: step for key, step in steps.items() if _scales_target(key, step, models)}
    steps = {key: step for key, step in steps.items() if key not in targets}
    model = _model(_all_decoded(models, decoders | targets, made), made)
    inputs_known = [*table, *(name for step in steps.values() for name in names_in(step) or ())]
    made.doubts += [
        f"nothing shows whether {key!r} ({type(decoder).__name__}) encodes an input or what it predicts, so its labels"
        " stand in the predictions; if it encodes an input, put it into one Pipeline with the model"
        for key, decoder in decoders.items()
        if isinstance(decoder, LabelEncoder) and not is_of_target(key, decoder, models, inputs_known, sample)
    ]
    chain = _chain(steps, model, columns)
    made.used |= steps.keys()
    if by_column:
        chain = [_column_encoder(by_column, chain, model, columns), *chain]
    made.columns = _inputs(chain, model, columns)
    ends = [*chain, *([] if model is None else [model])]
    made.estimator = make_pipeline(*ends) if len(ends) > 1 else ends[0]
    if chain:
        names = " → ".join(type(step).__name__ for step in (*chain, *models.values()))
        made.warnings.append(f"its parts are put together in the only order that fits: {names}")
    return made


def _is_step(part: Any) -> bool:
    return is_model(part) or transforms(part)


def _is_by_column(part: Any) -> bool:
    """Return whether it is a dict of one LabelEncoder for each column."""
    return isinstance(part, Mapping) and bool(part) and all(isinstance(e, LabelEncoder) for e in part.values())


def _is_target(part: Any) -> bool:
    return isinstance(part, LabelEncoder | LabelBinarizer | MultiLabelBinarizer)


def _repeated(parts: Mapping[str, Any]) -> set[str]:
    """Return the parts that another part holds: they are used already. Raises `Refused` if a model may hold a copy of
    one."""
    held: dict[int, str] = {}
    kinds: dict[type, str] = {}
    models = {key: part for key, part in parts.items() if is_model(part)}
    for key, part in parts.items():
        for thing in objects_in(part) if _is_step(part) else ():
            if thing is not part and _is_step(thing):
                held.setdefault(id(thing), key)
                if isinstance(part, Pipeline) and is_model(part) and transforms(thing):
                    kinds.setdefault(type(thing), key)
    repeated = {key for key, part in parts.items() if id(part) in held}
    for key, part in parts.items():
        is_copy = transforms(part) and not is_model(part) and type(part) in kinds
        if is_copy and key not in repeated and not _scales_target(key, part, models):
            raise Refused(
                f"holds {key!r} ({type(part).__name__}) beside {kinds[type(part)]!r}, which has such a step itself, so"
                " rows might be transformed twice; save that model alone"
            )
    return repeated


# After the model


def _encoders(
    parts: Mapping[str, Any], table: Sequence[str], made: Composition
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the LabelEncoders of columns, by column, and those of labels, by key."""
    by_column: dict[str, Any] = {}
    decoders: dict[str, Any] = {}
    for key, part in parts.items():
        encoders = part if _is_by_column(part) else {key: part} if isinstance(part, LabelEncoder) else {}
        encoders = {str(name): encoder for name, encoder in encoders.items()}
        columns = {name: column_of(name, table) for name in encoders}
        by_column |= {column: encoders[name] for name, column in columns.items() if column}
        unknown = [name for name, column in columns.items() if column is None]
        if len(unknown) > 1:
            raise Refused(
                f"holds encoders of {listed(unknown)} ({key!r}), which are not among the columns of the model"
                f" ({listed(table, 20) or 'unknown'}); {_ONE_PIPELINE}"
            )
        # The only one that is not of a column may be that of the target.
        decoders |= {key if key in encoders else f"{key}.{name}": encoders[name] for name in unknown}
        made.used |= {key} if encoders and not (unknown and key in encoders) else set()
        if _is_target(part) and not encoders:
            decoders[key] = part
    return by_column, decoders


def _scales_target(key: str, step: Any, models: Mapping[str, Any]) -> bool:
    """Return whether a step scales the target: it takes one column, is called so, and no model takes one."""
    word = re.sub(r"\W+|(?<=[a-z])(?=[A-Z])", "_", key).lower()
    widths = {width_in(model) for model in models.values()}
    return (
        width_in(step) == 1 and bool(_OF_TARGET.search(word)) and hasattr(step, "inverse_transform") and bool(models)
    ) and (1 not in widths or bool(re.search(r"(^|_)(y|target)(_|$)", word)))


def _all_decoded(models: Mapping[str, Any], decoders: Mapping[str, Any], made: Composition) -> dict[str, Any]:
    """Return the models, each with its decoder. Raises `Refused` if a decoder fits none of them, or several."""
    labels = [labels_of(model) for model in models.values() if labels_of(model)]
    known = {
        name for name, decoder in decoders.items() if isinstance(decoder, LabelEncoder) and labels_of(decoder) in labels
    }
    made.used |= known  # a model has the labels themselves
    decoders = {name: decoder for name, decoder in decoders.items() if name not in known}
    mine: dict[str, dict[str, Any]] = {key: {} for key in models}
    for name, decoder in decoders.items():
        fitting = [key for key, model in models.items() if _decodes(name, decoder, model)]
        called = [key for key in fitting if key.lower() in name.lower()] if len(fitting) > 1 else fitting
        if not fitting:
            raise Refused(_unused_decoder(name, decoder, models))
        if len(called) != 1:
            raise Refused(
                f"holds {name!r} ({type(decoder).__name__}), which fits {listed(fitting)}, and does not show which of"
                " them it decodes; save each model in a file with its own"
            )
        mine[called[0]][name] = decoder
    return {key: _decoded(key, model, mine[key], made) for key, model in models.items()}


def _decoded(key: str, model: Any, decoders: Mapping[str, Any], made: Composition) -> Any:
    """Return the model with the decoder of its labels or of its target, if there is one."""
    if len(decoders) > 1:
        raise Refused(
            f"holds {len(decoders)} objects that could decode the labels of {key!r} ({listed(list(decoders))}); keep"
            " the one of the target"
        )
    for name, decoder in decoders.items():
        made.used.add(name)
        of_each = isinstance(decoder, MultiLabelBinarizer)
        what = "outputs" if of_each else "predictions"
        does = "labels" if hasattr(decoder, "classes_") else "values"
        by = f"{name!r} ({type(decoder).__name__})"
        made.warnings.append(f"its {what} are the {does} {'of ' + by if of_each else f'that {by} makes of them'}")
        return DecodedTarget(model, decoder)
    return model


def _decodes(key: str, decoder: Any, model: Any) -> bool:
    if isinstance(decoder, MultiLabelBinarizer):
        return len(labels_of(decoder)) == len(getattr(model, "classes_", ()))
    if not isinstance(decoder, LabelEncoder):
        return not _is_target(decoder) and not labels_of(model)
    codes, expected = labels_of(model), [*range(len(labels_of(decoder)))]
    # The rows for fitting may have lacked a label.
    lacking = bool(_OF_TARGET.search(key.lower())) and {*codes} <= {*expected}
    return bool(codes) and all(type(code) is int for code in codes) and (codes == expected or lacking)


def _unused_decoder(key: str, decoder: Any, models: Mapping[str, Any]) -> str:
    labels, codes = labels_of(decoder), [labels_of(model) for model in models.values()]
    fits = f"with {counted(len(labels), 'label')} ({listed(labels)})" if labels else "that is not a LabelEncoder"
    knows = f"whose classes are {listed(codes[0])}" if codes and codes[0] else "without classes"
    return (
        f"holds a {type(decoder).__name__} ({key!r}) {fits} beside a model {knows}: it does not fit these, and"
        f" nothing shows which column it encodes; call it like the column, or {_ONE_PIPELINE}"
    )


def _model(models: Mapping[str, Any], made: Composition) -> Any | None:
    """Return the only model, or all of them as one with several outputs. Raises `Refused`."""
    made.used |= models.keys()
    if len(models) < 2:
        return next(iter(models.values()), None)
    described = listed([f"{key}: {type(model).__name__}" for key, model in models.items()])
    if all(key.rpartition(".")[2].isdigit() for key in models):
        raise Refused(
            f"holds {len(models)} models ({described}) without names; save them in a dict whose keys are the names of"
            " their outputs, or each in its own file"
        )
    tables = {names_in(model) for model in models.values()} - {None}
    widths = {width_in(model) for model in models.values()} - {None}
    if len(tables) > 1 or len(widths) > 1:
        raise Refused(
            f"holds {len(models)} models that take different columns ({described}); save each in its own file"
        )
    short = [key.rpartition(".")[2] for key in models]
    names = short if len({*short}) == len(short) else list(models)
    made.warnings.append(f"its outputs are named by the keys of the file: {listed(names)}")
    return ModelsByName(names, list(models.values()))


# Before the model


def _chain(steps: Mapping[str, Any], model: Any | None, columns: Sequence[str]) -> list[Any]:
    """Return the steps in their order; where each takes some columns only, as one step. Raises `Refused`."""
    if not steps:
        return []
    unknown = [key for key, step in steps.items() if width_in(step) is None]
    if len(steps) == 1 and unknown and not type(steps[unknown[0]]).__module__.startswith("sklearn."):
        return [*steps.values()]  # classes of one's own do not count their columns, and there is only one order
    if unknown:
        step = type(steps[unknown[0]]).__name__
        raise Refused(
            f"holds {unknown[0]!r} ({step}), which does not show how many columns it takes, perhaps because it is not"
            f" fitted; fit it, or {_ONE_PIPELINE}"
        )
    order = in_order(steps, model)
    if order is not None:
        return [steps[name] for name in order]
    listed_here = tuple(columns) if width_in(model) == len(columns) else ()
    together = None if model is None else _by_columns(steps, names_in(model) or listed_here, columns)
    if together is None:
        raise Refused(_unfitting(steps, model))
    return [together]


def _by_columns(steps: Mapping[str, Any], wanted: Sequence[str], columns: Sequence[str]) -> ColumnSteps | None:
    """Return one step that makes the columns `wanted`, each step with the columns that it knows by name; None if that
    is not possible."""
    parts: list[tuple[Any, Sequence[str], Sequence[str]]] = []
    groups: dict[tuple[str, ...], dict[str, Any]] = {}
    for key, step in steps.items():
        groups.setdefault(names_in(step) or (), {})[key] = step
    for names, group in groups.items():
        order = in_order(group, None)
        names_made = names_out(group[order[-1]]) if order and names else None
        if order is None or names_made is None:
            return None
        step = make_pipeline(*(group[key] for key in order)) if len(order) > 1 else group[order[0]]
        parts.append((step, names, names_made))
    taken = [name for _, names, _ in parts for name in names]
    made = [name for _, _, names_made in parts for name in names_made]
    if not wanted or len({*taken}) < len(taken) or len({*made}) < len(made) or not {*made} <= {*wanted}:
        return None
    passed = [name for name in wanted if name not in made]
    if {*passed} & {*taken}:
        return None
    made_of = {name: [name] if names == names_made else names for _, names, names_made in parts for name in names_made}
    raw = dict.fromkeys(name for output in wanted for name in made_of.get(output, [output]))
    inputs = [*columns] if {*columns} == raw.keys() else [*raw]
    return ColumnSteps(parts, inputs, [*wanted])


def _column_encoder(
    encoders: Mapping[str, Any], chain: Sequence[Any], model: Any | None, columns: Sequence[str]
) -> ColumnSteps:
    """Return the step that encodes single columns before all others. Raises `Refused`."""
    first = chain[0] if chain else model
    table = names_in(first) or tuple(columns)
    if not table or width_in(first) not in (None, len(table)) or not {*encoders} <= {*table}:
        raise Refused(
            f"holds encoders of {listed(list(encoders))}, and does not show the columns of the model in their order;"
            f" save the list of its columns beside it, or {_ONE_PIPELINE}"
        )
    parts = [(_ordinal(name, encoder), [name], [name]) for name, encoder in encoders.items()]
    return ColumnSteps(parts, table, table)


def _ordinal(name: str, encoder: Any) -> Any:
    """Return the encoder of a column that does the same as a LabelEncoder."""
    classes = np.asarray(encoder.classes_)
    try:
        return OrdinalEncoder(categories=[classes], dtype=np.int64).fit(pd.DataFrame({name: classes}))
    except ValueError as error:
        raise Refused(
            f"holds an encoder of {name!r} with classes that no OrdinalEncoder takes ({error}); {_ONE_PIPELINE}"
        ) from None


def _inputs(chain: Sequence[Any], model: Any | None, columns: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of the inputs where the first step does not know them, or None."""
    first = chain[0] if chain else model
    if names_in(first):
        return None
    for names in (tuple(columns), names_in(model) or ()):
        if names and width_in(first) == len(names):
            return names
    taken_as_they_are = width_in(first) is None or (not chain and width_in(first) != TEXT)
    return tuple(columns) or None if taken_as_they_are else None


def _unfitting(steps: Mapping[str, Any], model: Any | None) -> str:
    widths = [f"{key} takes {width_in(step)} and gives {width_out(step) or 'unknown'}" for key, step in steps.items()]
    takes = f"; the model takes {width_in(model) or 'an unknown number of'} columns" if model is not None else ""
    whole = (
        "" if all(map(keeps_names, steps.values())) else ", or fit them on DataFrames, so that they know their columns"
    )
    return f"holds steps that fit together in no order ({'; '.join(widths)}{takes}); {_ONE_PIPELINE}{whole}"
