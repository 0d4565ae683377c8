"""The codec of each format of files."""

from __future__ import annotations

from collections.abc import Mapping

from contract.rows.file_formats import FileFormat
from scoring.files.codec import Codec
from scoring.files.csv_codec import CsvCodec
from scoring.files.json_codec import NdjsonCodec
from scoring.files.parquet_codec import ParquetCodec

CODECS: Mapping[FileFormat, Codec] = {
    FileFormat.CSV: CsvCodec(),
    FileFormat.NDJSON: NdjsonCodec(),
    FileFormat.PARQUET: ParquetCodec(),
}
