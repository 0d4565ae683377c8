"""How Sphinx builds the site out of what `gather` has gathered. Whatever it warns of fails `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "client" / "src"), str(PROJECT / "kernels" / "src")]

from contract.release import VERSION  # noqa: E402

project = "Modelgate"
release = version = VERSION
html_title = f"Modelgate {VERSION}"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
smartquotes = False  # the text stays as it is written
exclude_patterns = ["files"]
nitpicky = False  # annotations name types of libraries
suppress_warnings = ["misc.highlighting_failure"]  # JSON with an ellipsis

myst_heading_anchors = 4

autodoc_mock_imports = ["joblib", "numpy", "pandas", "platformdirs", "rich", "scipy", "sklearn", "typer"]
autodoc_default_options = {"members": True, "imported-members": True, "exclude-members": "__init__, __new__"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
default_role = "code"  # the docstrings have `code` as Markdown does

templates_path = ["templates"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("versions.js", {"defer": "defer"})]
html_favicon = str(PROJECT / "gateway" / "pages" / "static" / "icon.svg")
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fbf", "color-brand-content": "#1d5fbf"},
    "dark_css_variables": {"color-brand-primary": "#8ab4f8", "color-brand-content": "#8ab4f8"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
