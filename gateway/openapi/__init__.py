"""The OpenAPI document: the routes with what documents them, and an operation for each served model."""
