"""Recognises the format of a file by its bytes, without unpickling anything."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.importing import Refused
from trainer.importing.files.packages import how_to_install

HEAD = 4096

PICKLE, SKOPS = "pickle", "skops"

SUFFIXES = (
    *("pkl", "pickle", "joblib", "cloudpickle", "skops", "sav", "model", "dump", "dill", "bin"),
    *("p", "pk", "pck", "pcl", "jbl", "jl", "job", "save", "mdl", "clf", "obj", "dat", "est", "zip"),
)
"""What the names of model files end in. Which format a file has, its bytes decide."""

COMPRESSED_SUFFIXES = ("gz", "gzip", "bz2", "xz", "lzma", "z", "lz4", "zst", "zstd", "zip")
"""What they may have after that."""

_FILE = re.compile(
    rf"(.+)\.(?:{'|'.join(SUFFIXES)})(?:\.(?:{'|'.join(COMPRESSED_SUFFIXES)}))?", re.IGNORECASE | re.DOTALL
)
_SAVE = "save the fitted scikit-learn model with joblib.dump"
_ZIP = b"PK\x03\x04"


def _saved_again(load: str, remark: str) -> str:
    """Return the two lines of Python that make a file which can be imported, of a model in a library's own format."""
    return f'`{load}` ({remark}) and `joblib.dump(model, "model.joblib")` make one of this file'


_XGBOOST = "pickle the fitted XGBClassifier or XGBRegressor instead: " + _saved_again(
    'model = xgboost.XGBClassifier(); model.load_model("FILE")', "XGBRegressor if it predicts numbers"
)
_LIGHTGBM = "pickle the fitted LGBMClassifier or LGBMRegressor instead: " + _saved_again(
    'model = lightgbm.Booster(model_file="FILE")', "of a classifier it answers probabilities, no classes"
)
_CATBOOST = "pickle the fitted CatBoostClassifier or -Regressor instead: " + _saved_again(
    'model = catboost.CatBoostClassifier().load_model("FILE")', "CatBoostRegressor if it predicts numbers"
)


def _unzip(data: bytes) -> bytes:
    """Return the only file of a zip archive, as `_in_archive` has found it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = _files_in(archive)
        inside = archive.read(name)
    if inside.startswith(_ZIP):
        raise Refused("is a zip archive in a zip archive (or of a skops file); unpack it, and import what is in it")
    return decompress(inside)


_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x5d\x00": lzma.decompress,
    b"\x78\x01": zlib.decompress,
    b"\x78\x5e": zlib.decompress,
    b"\x78\x9c": zlib.decompress,
    b"\x78\xda": zlib.decompress,
    _ZIP: _unzip,
}
"""The compressions of the standard library, by the first bytes of a file. joblib reads all but the last, too."""

_WITH_PACKAGE: dict[bytes, tuple[str, str, Callable[[Any], Callable[[bytes], bytes]]]] = {
    b"\x04\x22\x4d\x18": ("lz4", "lz4.frame", lambda lz4: lz4.decompress),
    b"\x28\xb5\x2f\xfd": ("zstandard", "zstandard", lambda zstd: zstd.ZstdDecompressor().decompressobj().decompress),
}
"""Those that need a package: its name, its module, and the function in it."""

_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer instead of the file; run `git lfs pull` first"),
    (b"\x89HDF\r\n", f"is an HDF5 file (Keras?), which is not a scikit-learn model; {_SAVE}"),
    (b"\x93NUMPY", f"is a NumPy array (.npy), and not a model; {_SAVE}"),
    (b"PAR1", f"is a Parquet file, which holds data and no model; {_SAVE}"),
    (b"%PDF", f"is a PDF document; {_SAVE}"),
    (b"\x7fELF", f"is a program; {_SAVE}"),
    (b"\x89PNG", f"is a picture; {_SAVE}"),
    (b"CBM1", f"is CatBoost's own format; {_CATBOOST}"),
    (b"tree\nversion=", f"is LightGBM's own text; {_LIGHTGBM}"),
    (b"binf", f"is XGBoost's old binary format; {_XGBOOST}"),
    (b"{L\x00", f"is XGBoost's own binary JSON; {_XGBOOST}"),
    (b'{"learner"', f"is XGBoost's own JSON; {_XGBOOST}"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", f"is a PyTorch file, which Modelgate does not run; {_SAVE}"),
    (b"Rar!", "is a RAR archive; unpack it, and import the file that is in it"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it, and import the file that is in it"),
    (b"RDX", f"is an R file, which is not a scikit-learn model; {_SAVE}"),
    *((word, "is Python code; run it, and import the model that it saves") for word in (b"import ", b"from ")),
)


_OTHER_SUFFIXES = {
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "Keras"),
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), "PyTorch"),
    **dict.fromkeys((".pb", ".tflite"), "TensorFlow"),
    **dict.fromkeys((".onnx",), "ONNX"),
    **dict.fromkeys((".pmml",), "PMML"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), "R"),
}


_OF_LIBRARIES = {
    ".cbm": ("CatBoost's own format", _CATBOOST),
    ".ubj": ("XGBoost's own binary JSON", _XGBOOST),
    ".json": ("JSON, perhaps XGBoost's own", _XGBOOST),
    ".txt": ("text, perhaps LightGBM's own", _LIGHTGBM),
}


def stem(file_name: str) -> str | None:
    """Return a file name without the suffix of a model file; None if it has none."""
    match = _FILE.fullmatch(file_name)
    return match[1] if match else None


def wrong_suffix(file_name: str) -> str:
    """Return why a file of this name is no model file."""
    suffix = Path(file_name).suffix.lower()
    if suffix in _OTHER_SUFFIXES:
        return f"is a model of {_OTHER_SUFFIXES[suffix]} by its name ({suffix}), which Modelgate does not run; {_SAVE}"
    if suffix in _OF_LIBRARIES:
        what, remedy = _OF_LIBRARIES[suffix]
        return f"is {what} by its name ({suffix}); {remedy}"
    known = ", ".join(f".{suffix}" for suffix in SUFFIXES)
    more = ", ".join(f".{suffix}" for suffix in COMPRESSED_SUFFIXES)
    return f"does not end as a model file does: {known}; or one of these and then {more}"


def recognise(path: Path) -> str:
    """Return `PICKLE`, also for a zip archive of one file, or `SKOPS`. Raises `Refused` for a file that is clearly
    something else."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise Refused("is empty; copy it again, or save the model again")
    if head.startswith(_ZIP):
        return _in_archive(path)
    refuse_other_formats(head)
    return PICKLE


def refuse_other_formats(head: bytes) -> None:
    """Raise `Refused` if the first bytes of a file are those of another well-known format."""
    for magic, what in _OTHER_FORMATS:
        if head.startswith(magic):
            raise Refused(what)
    if head[257:262] == b"ustar":
        raise Refused("is a tar archive; unpack it, and import the file that is in it")
    # Field 1 of the protocol buffer is ONNX's ir_version, field 2 the producer's name.
    if re.match(rb"\x08[\x01-\x14]\x12.(onnx|skl2onnx|pytorch|tf2onnx|keras)", head, re.IGNORECASE | re.DOTALL):
        raise Refused(f"is an ONNX model, which Modelgate does not run; {_SAVE}")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise Refused("is an HTML page: perhaps a download that asks for a login; download the file itself")
    if start.startswith((b"<?xml", b"<pmml")):
        raise Refused(f"is XML (PMML?), which is not a scikit-learn model; {_SAVE}")
    if _is_table(head):
        raise Refused("is a table of rows (CSV?) and not a model; train one from it: modelgate train NAME FILE.csv")
    # None of these is an opcode of pickle.
    if start.startswith((b"{", b'"', b"[")):
        raise Refused(f"is {'JSON' if _json_like(start) else 'text'}, and not a pickle; {_SAVE}")


def _is_table(head: bytes) -> bool:
    """Return whether a file begins with lines of cells. The first line of a pickle of text, `csklearn.svm`, has no
    separator."""
    try:
        lines = head.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # otherwise the head ends within a character
            return False
        lines = head[: error.start].decode("utf-8-sig").splitlines()
    cells = re.split(r"[,;\t|]", lines[0]) if len(lines) > 1 else []
    return len(cells) > 1 and all(cell.isprintable() for cell in cells)


def _json_like(start: bytes) -> bool:
    return re.match(rb'[{\["]\s*("|\{|\[|\d|-|\}|\]|true|false|null)', start) is not None


def _in_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names, locked = _files_in(archive), any(entry.flag_bits & 1 for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        raise Refused("is a zip archive (or a skops file) that is damaged or cut off; copy it again") from None
    if "schema.json" in names:
        return SKOPS
    if any(name.endswith("data.pkl") for name in names):
        raise Refused(f"is a PyTorch file, which Modelgate does not run; {_SAVE}")
    if any(name.endswith(".npy") for name in names):
        raise Refused(f"is a file of NumPy arrays (.npz), and not a model; {_SAVE}")
    if "model.weights.h5" in names or "keras_metadata.pb" in names:
        raise Refused(f"is a Keras model, which Modelgate does not run; {_SAVE}")
    if len(names) == 1 and stem(names[0]) and not locked:
        return PICKLE
    raise Refused("is a zip archive; unpack it, and import the file that is in it, or zip one model without a password")


def _files_in(archive: zipfile.ZipFile) -> list[str]:
    """Return the names without those of folders and of what macOS puts beside each file."""
    names = (entry.filename for entry in archive.infolist() if not entry.is_dir())
    return [name for name in names if not name.startswith("__MACOSX/") and PurePosixPath(name).name != ".DS_Store"]


def decompress(data: bytes) -> bytes:
    """Return the contents of a compressed pickle, or `data` itself if it is not compressed.

    Raises `Refused` if the file is cut off or damaged, or needs a package that is missing. May use any amount of
    memory: only for the throwaway process.
    """
    function = _decompressing(data)
    if function is None:
        return data
    try:
        plain = function(data)
    except (MemoryError, Refused):
        raise
    except Exception as error:  # each library has its own
        raise Refused(f"is compressed, and damaged or cut off ({error}); copy it again") from None
    refuse_other_formats(plain[:HEAD])
    return plain


def unreadable(data: bytes) -> bool:
    """Return whether it is compressed in a way that joblib may not read where it is served."""
    return data.startswith((_ZIP, *_WITH_PACKAGE))


def _decompressing(data: bytes) -> Callable[[bytes], bytes] | None:
    for magic, function in _DECOMPRESS.items():
        if data.startswith(magic):
            return function
    for magic, (package, module, function_in) in _WITH_PACKAGE.items():
        if data.startswith(magic):
            try:
                return function_in(importlib.import_module(module))
            except ImportError:
                raise Refused(
                    f"is compressed with {package}, and that package is not installed here; save it with"
                    f" joblib.dump(model, file, compress=3), or {how_to_install(package)}"
                ) from None
    return None


_VERSION = re.compile(
    # The key, its memo and length in the protocols 0 to 5, then the version likewise.
    rb"_sklearn_version(?:\x94|q.|r....|\np\d+\n)?(?:\x8c.|X....|V)(\d+\.\d+[.\w]*)",
    re.DOTALL,
)


_VERSION_IN_SKOPS = re.compile(rb'"_sklearn_version": \{[^{}]*"content": "\\"(\d+\.\d+[.\w]*)\\""')


def sklearn_versions(plain: bytes) -> list[str]:
    """Return the versions of scikit-learn that a pickle or a skops file names, without loading it."""
    pattern = _VERSION
    if plain.startswith(_ZIP):
        with suppress(zipfile.BadZipFile, KeyError, OSError), zipfile.ZipFile(io.BytesIO(plain)) as archive:
            plain, pattern = archive.read("schema.json"), _VERSION_IN_SKOPS
    return sorted({version.decode("ascii", "replace") for version in pattern.findall(plain)})


def holds_code(plain: bytes) -> bool:
    """Return whether a pickle holds byte code: functions of cloudpickle rebuild what it stores by value."""
    return b"cloudpickle.cloudpickle" in plain


def made_by_dill(plain: bytes) -> bool:
    """Return whether a pickle holds code as dill stores it."""
    return b"dill._dill" in plain


def beginning(data: bytes) -> str:
    """Return the first bytes in printable form."""
    return ascii(data[:16].decode("latin-1"))
