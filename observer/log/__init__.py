"""The prediction log: what models were asked and answered, as Parquet files."""
