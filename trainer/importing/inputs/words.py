"""Vectorizers of texts and records: what they take and know, and rows to try them with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from contract.json_objects import is_encodable
from contract.model.signature import Field, Kind
from contract.row import Value
from contract.rows.instances import MAX_NAMES
from contract.wording import shown
from scoring.held_objects import parts_in
from trainer.importing import Refused
from trainer.importing.other_libraries.described import Hint

TEXT = Field("text", Kind.STRING)
"""The input of a model whose rows are texts."""
_Known = dict[str, tuple[bool, list[str]]]
"""For each name whether it is that of a number, and some texts that it had."""
_WORDS_IN_A_TEXT = 8
_NAMES_IN_A_RECORD = 20
_LONGEST_WORD = 100
"""Longest word of a text to try, in characters."""
_SOME_WORDS = (
    *("about", "after", "best", "day", "first", "free", "good", "great", "like", "little", "long", "love", "meeting"),
    *("money", "new", "not", "now", "offer", "people", "please", "report", "team", "thank", "time", "today", "win"),
)
"""For a vectorizer that keeps none: it hashes them."""


def reads_texts(step: Any) -> bool:
    """Return whether it turns texts into numbers, as `TfidfVectorizer` does."""
    return hasattr(step, "build_analyzer")


def reads_records(step: Any) -> bool:
    """Return whether it turns records into numbers: a `DictVectorizer` or a `FeatureHasher`."""
    return _is_dict_vectorizer(step) or (hasattr(step, "alternate_sign") and hasattr(step, "input_type"))


def _is_dict_vectorizer(step: Any) -> bool:
    return hasattr(step, "feature_names_") and hasattr(step, "vocabulary_") and hasattr(step, "separator")


def refuse_unservable(estimator: Any) -> None:
    """Raise `Refused` for a vectorizer that takes what no request can hold."""
    for part in parts_in(estimator):
        name = type(part).__name__
        if reads_texts(part):
            if getattr(part, "input", "content") != "content":
                raise Refused(
                    f"has a {name} that reads files (input={part.input!r}), and would read those of the server that a"
                    " request names; fit it on the texts themselves, with input='content'"
                )
            if _takes_words(part):
                raise Refused(
                    f"has a {name} that takes lists of words and not texts: its analyzer or tokenizer returns what it"
                    " gets; give it the function that splits a text into words (tokenizer=…), and fit it on texts"
                )
        elif reads_records(part) and getattr(part, "input_type", "dict") != "dict":
            what = "lists of texts" if part.input_type == "string" else "lists of pairs"
            raise Refused(
                f"has a {name} that takes {what} (input_type={part.input_type!r}), and records are sent as objects of"
                " names and values; fit it on dicts, with input_type='dict'"
            )


def _takes_words(vectorizer: Any) -> bool:
    """Return whether it leaves a text whole, or takes its letters for words although it knows longer ones."""
    text = "ab cd"
    try:
        tokens = vectorizer.build_analyzer()(text)
    except Exception:
        return False  # an analyzer of one's own may take what it likes
    if getattr(vectorizer, "analyzer", "word") in ("char", "char_wb"):
        return False
    letters = list(tokens) == list(text)
    known = getattr(vectorizer, "vocabulary_", None)
    return bool(letters and (known is None or any(len(str(word)) > 1 for word in known)))


def texts_to_try(readers: Iterable[Any], most: int) -> list[str]:
    """Return texts of words that the vectorizers know."""
    known = (_known_words(reader, most * _WORDS_IN_A_TEXT) for reader in readers)
    words = max(known, key=_letters) or _SOME_WORDS
    positions = [range(number, number + most * _WORDS_IN_A_TEXT, most) for number in range(most)]
    return [" ".join(dict.fromkeys(words[position % len(words)] for position in some)) for some in positions]


def _letters(words: Sequence[str]) -> int:
    return sum(map(len, words))


def _known_words(vectorizer: Any, most: int) -> Sequence[str]:
    """Return at most `most` words of its vocabulary, from all over it."""
    known = getattr(vectorizer, "vocabulary_", None) or ()
    some = islice(known, 0, None, max(1, len(known) // most))
    words = [str(word) for word in some if isinstance(word, str)]
    return [word for word in words if word and len(word) <= _LONGEST_WORD and is_encodable(word)][:most]


def record_fields(readers: Sequence[Any]) -> tuple[Field, ...]:
    """Return the names that the vectorizers know: those of numbers, and those that they join with a text. Empty if one
    of them hashes names, or if there are too many to list."""
    known = [_known_names(reader) for reader in readers]
    fields = _merged(known) if all(known) else {}
    if len(fields) > MAX_NAMES:
        return ()
    return tuple(
        Field(name, Kind.NUMBER if number else Kind.STRING, guessed=number and bool(texts))
        for name, (number, texts) in fields.items()
    )


def _merged(known: Sequence[_Known]) -> _Known:
    merged: _Known = {}
    for names in known:
        for name, (number, texts) in names.items():
            was_number, others = merged.get(name, (False, []))
            merged[name] = (number or was_number, [*others, *texts])
    return merged


def hints_by_name(vectorizer: Any) -> dict[str, Hint]:
    """Return what a `DictVectorizer` shows about the columns of a table that an earlier step turns into records."""
    return {
        name: Hint(Kind.NUMBER if number else Kind.STRING, values=() if number else tuple(texts))
        for name, (number, texts) in _known_names(vectorizer).items()
    }


def records_to_try(readers: Sequence[Any], most: int) -> list[dict[str, Value]]:
    """Return records of names and texts that the vectorizers know."""
    fields = _merged([_known_names(reader) for reader in readers])
    if not fields:
        words = _SOME_WORDS[:_NAMES_IN_A_RECORD]
        return [{word: float((index + number) % 3) for index, word in enumerate(words)} for number in range(most)]
    names = list(islice(fields, 0, None, max(1, len(fields) // _NAMES_IN_A_RECORD)))[:_NAMES_IN_A_RECORD]
    return [{name: _value(*fields[name], number + index) for index, name in enumerate(names)} for number in range(most)]


def _value(number: bool, texts: Sequence[str], turn: int) -> Value:
    choices: list[Value] = [*((0.0, 1.0) if number else ()), *texts]
    return choices[turn % len(choices)]


def _known_names(vectorizer: Any) -> _Known:
    """Return for each name in a `DictVectorizer` whether it was a number, and the first texts that it had. Raises
    `Refused` for names that are not texts."""
    known: _Known = {}
    for feature in getattr(vectorizer, "feature_names_", ()):
        if not isinstance(feature, str) or not is_encodable(feature):
            raise Refused(
                f"was fitted on records with the name {shown(feature)}, and names in JSON are texts; fit it on records"
                " whose names are texts"
            )
        name, separator, text = str(feature).partition(vectorizer.separator)
        number, texts = known.get(name, (False, []))
        if not separator:
            number = True
        elif len(texts) < 10:
            texts.append(text)
        known[name] = (number, texts)
    return known
