"""The placeholders of `report.html`, which the gateway fills in when it shows the page, and the parts of that page.

Data cannot imitate placeholders: the trainer escapes all data in a report.
"""

from __future__ import annotations

from collections.abc import Mapping

STATUS = "<!-- aliases and other versions -->"
"""The version's aliases, and links to the reports of the model's other versions."""

ADDRESS = "http://127.0.0.1:8080"
"""The address of the gateway in example requests."""

ADDRESS_ELEMENT = f'<span class="address">{ADDRESS}</span>'
"""The address on the page, where it cannot be confused with data."""

PARTS: Mapping[str, str] = {
    "answers": "Predictions",
    "worst": "Worst rows",
    "importance": "Inputs",
    "comparison": "Comparison",
    "data": "Data",
    "usage": "Use it",
    "made": "How it was made",
}
"""What links to the parts of a report say, by the ids of the parts."""
