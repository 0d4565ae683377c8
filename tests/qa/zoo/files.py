"""One model in every kind of file, and files that hold no model."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import pickle
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.qa.zoo import data
from tests.qa.zoo.specimens import Saved, Specimen, fitted, with_joblib, zipped


def specimens() -> Iterator[Specimen]:
    yield from _served()
    for name, (content, suffix, words) in _others().items():
        yield Specimen(name, partial(Saved, content, []), bytes, suffix, refused=words)
    for name, (thing, words) in _things().items():
        yield Specimen(name, partial(Saved, thing, []), refused=words)


def _model() -> Saved:
    return fitted(make_pipeline(StandardScaler(), LogisticRegression()), data.FRAME, data.WORD)


def _served() -> Iterator[Specimen]:
    for protocol in range(6):
        yield Specimen(f"Pickle protocol {protocol}", _model, partial(_pickled, protocol))
    ways: dict[str, tuple[Callable[[Any], bytes], str]] = {
        ".sav": (pickle.dumps, ".sav"),
        ".model": (with_joblib, ".model"),
        ".pickle": (pickle.dumps, ".pickle"),
        ".pkl.gz": (zipped, ".pkl.gz"),
        ".joblib.gz": (partial(with_joblib, compress=("gzip", 3)), ".joblib.gz"),
        ".pkl.z": (partial(with_joblib, compress=("zlib", 3)), ".pkl.z"),
        ".pkl.bz2": (lambda thing: bz2.compress(pickle.dumps(thing)), ".pkl.bz2"),
        ".pkl.xz": (lambda thing: lzma.compress(pickle.dumps(thing)), ".pkl.xz"),
        ".cloudpickle": (cloudpickle.dumps, ".cloudpickle"),
        ".skops": (skops.io.dumps, ".skops"),
        ".zip": (lambda thing: _archive(**{"model.pkl": pickle.dumps(thing)}), ".zip"),
        "of two dumps": (lambda thing: b"".join(pickle.dumps(step) for _, step in thing.steps), ".pkl"),
    }
    for name, (save, suffix) in ways.items():
        yield Specimen(f"A file {name}", _model, save, suffix)


def _pickled(protocol: int, thing: Any) -> bytes:
    return pickle.dumps(thing, protocol=protocol)


def _archive(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, data.X)
    return file.getvalue()


def _others() -> dict[str, tuple[bytes, str, str]]:
    """Return files that are no pickle: what is in each, its suffix, and the words of the refusal."""
    whole = pickle.dumps(LinearRegression().fit(data.X, data.NUMBER))
    return {
        "An empty file": (b"", ".pkl", "is empty"),
        "A file cut off": (whole[: len(whole) // 2], ".pkl", "cut off"),
        "A compressed file cut off": (zipped(data.X)[:200], ".pkl.gz", "cut off"),
        "A Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", ".pkl", "git lfs pull"),
        "A page of HTML": (b"<!DOCTYPE html><html><body>Sign in</body></html>", ".pkl", "HTML"),
        "A file of JSON": (json.dumps({"coef": [1, 2]}).encode(), ".pkl", "JSON"),
        "A Keras file": (_archive(**{"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n"}), ".model", "Keras"),
        "An HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(100), ".model", "HDF5"),
        "A torch file": (_archive(**{"archive/data.pkl": b"\x80\x02}q\x00."}), ".pkl", "PyTorch"),
        "An ONNX file": (b"\x08\x08\x12\x08skl2onnx\x1a\x041.16" + bytes(50), ".model", "ONNX"),
        "A NumPy array in a file": (_npy(), ".pkl", ".npy"),
        "A Parquet file": (b"PAR1" + bytes(50), ".pkl", "Parquet"),
        "A program": (b"\x7fELF" + bytes(50), ".pkl", "program"),
        "A CSV file": (b"age,income\n1,2\n3,4\n", ".pkl", "is a table of rows"),
        "A zip archive of two pickles": (_archive(**{"a.pkl": whole, "b.pkl": whole}), ".pkl", "zip archive"),
        "Two pickles in one file": (whole + whole, ".pkl", "several objects"),
    }


def _things() -> dict[str, tuple[Any, str]]:
    """Return pickles of what is no model, with the words of the refusal."""
    return {
        "A bare array": (data.X, "bare array"),
        "A bare DataFrame": (data.PEOPLE, "DataFrame of 132 rows"),
        "A bare Series": (pd.Series(data.X[:, 0]), "Series of 132 rows"),
        "A text": ("model.pkl", "holds a str"),
        "Nothing": (None, "nothing (None)"),
        "A number": (0.93, "holds a float"),
        "A class": (LogisticRegression, "the class LogisticRegression"),
        "A model that is not fitted": (LogisticRegression(), "not fitted"),
        "A pipeline that is not fitted": (make_pipeline(StandardScaler(), LogisticRegression()), "not fitted"),
        "A dict of coefficients": ({"coef": data.X[0], "intercept": 1.0}, "without a model"),
        "An empty list": ([], "without a model"),
        "A function": (np.log1p, "holds a function"),
    }
