"""What clients accept, and which of it they like best."""

from __future__ import annotations

import pytest

from gateway.protocols.accepted import preferred, weights

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("Text/CSV; charset=utf-8", CSV),
        ("application/json;q=0.5, text/csv", CSV),
        ("application/json, text/csv;q=0.9", JSON),
        ("text/csv;q=0", JSON),
        ("text/csv;q=x", JSON),
        ("text/csv;q=0.1, application/x-npy ; q=0.2", NPY),
        ("image/png, text/csv", CSV),
    ],
)
def test_another_type_is_only_sent_to_clients_that_name_it(accept: str, kind: str) -> None:
    assert preferred(accept, (JSON, CSV, NPY)) == kind


def test_weights_are_by_name_in_lower_case() -> None:
    assert weights("GZIP;q=0.5, br ; q=1, *;q=0") == {"gzip": 0.5, "br": 1.0, "*": 0.0}
