"""Recognises the format of a file by its bytes, without unpickling anything."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from trainer.importing import Refused

HEAD = 4096

PICKLE, SKOPS = "pickle", "skops"

_SAVE = "save the fitted scikit-learn model with joblib.dump"
_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x5d\x00": lzma.decompress,
    b"\x78\x01": zlib.decompress,
    b"\x78\x5e": zlib.decompress,
    b"\x78\x9c": zlib.decompress,
    b"\x78\xda": zlib.decompress,
}
"""The compressions that joblib reads, by the first bytes of a file."""

_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer instead of the file; run `git lfs pull` first"),
    (b"\x89HDF\r\n", f"is an HDF5 file (Keras?), which is not a scikit-learn model; {_SAVE}"),
    (b"\x93NUMPY", f"is a NumPy array (.npy), and not a model; {_SAVE}"),
    (b"PAR1", f"is a Parquet file, which holds data and no model; {_SAVE}"),
    (b"%PDF", f"is a PDF document; {_SAVE}"),
    (b"\x7fELF", f"is a program; {_SAVE}"),
    (b"\x89PNG", f"is a picture; {_SAVE}"),
    (b"CBM1", "is CatBoost's own format; pickle the fitted CatBoostClassifier or -Regressor instead"),
    (b"tree\nversion=", "is LightGBM's own text; pickle the fitted LGBMClassifier or LGBMRegressor instead"),
    (b"binf", "is XGBoost's old binary format; pickle the fitted XGBClassifier or XGBRegressor instead"),
    (b"{L\x00", "is XGBoost's own binary JSON; pickle the fitted XGBClassifier or XGBRegressor instead"),
    (b"Rar!", "is a RAR archive; unpack it, and import the file that is in it"),
    (b"7z\xbc\xaf", "is a 7-Zip archive; unpack it, and import the file that is in it"),
    (b"RDX", f"is an R file, which is not a scikit-learn model; {_SAVE}"),
)


def recognise(path: Path) -> str:
    """Return `PICKLE` or `SKOPS`. Raises `Refused` for a file that is clearly something else."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise Refused("is empty; copy it again, or save the model again")
    if head.startswith(b"PK\x03\x04"):
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
    # None of these is an opcode of pickle.
    if start.startswith((b"{", b'"', b"[")):
        raise Refused(f"is {'JSON' if _json_like(start) else 'text'}, and not a pickle; {_SAVE}")


def _json_like(start: bytes) -> bool:
    return re.match(rb'[{\["]\s*("|\{|\[|\d|-|\}|\]|true|false|null)', start) is not None


def _in_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        raise Refused("is a zip archive (or a skops file) that is damaged or cut off; copy it again") from None
    if "schema.json" in names:
        return SKOPS
    if any(name.endswith("data.pkl") for name in names):
        raise Refused(f"is a PyTorch file, which Modelgate does not run; {_SAVE}")
    if "model.weights.h5" in names or "keras_metadata.pb" in names:
        raise Refused(f"is a Keras model, which Modelgate does not run; {_SAVE}")
    raise Refused("is a zip archive; unpack it, and import the file that is in it")


def decompress(data: bytes) -> bytes:
    """Return the contents of a compressed pickle, or `data` itself if it is not compressed.

    Raises `Refused` if the file is cut off or damaged. May use any amount of memory: only for the throwaway process.
    """
    for magic, function in _DECOMPRESS.items():
        if data.startswith(magic):
            try:
                plain = function(data)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                raise Refused(f"is compressed, and damaged or cut off ({error}); copy it again") from None
            refuse_other_formats(plain[:HEAD])
            return plain
    return data


_VERSION = re.compile(
    # The key, its memo and length in the protocols 0 to 5, then the version likewise.
    rb"_sklearn_version(?:\x94|q.|r....|\np\d+\n)?(?:\x8c.|X....|V)(\d+\.\d+[.\w]*)",
    re.DOTALL,
)


def sklearn_versions(plain: bytes) -> list[str]:
    """Return the versions of scikit-learn that a pickle names, without loading it."""
    return sorted({found.decode("ascii", "replace") for found in _VERSION.findall(plain)})


def beginning(data: bytes) -> str:
    """Return the first bytes in printable form."""
    return ascii(data[:16].decode("latin-1"))
