"""The placeholders of `report.html`, which the gateway fills in when it shows the page.

Data cannot imitate them: the trainer escapes all data in a report.
"""

from __future__ import annotations

STATUS = "<!-- aliases and other versions -->"
"""The version's aliases, and links to the reports of the model's other versions."""

ADDRESS = "http://127.0.0.1:8080"
"""The address of the gateway in example requests."""

ADDRESS_ELEMENT = f'<span class="address">{ADDRESS}</span>'
"""The address on the page, where it cannot be confused with data."""
