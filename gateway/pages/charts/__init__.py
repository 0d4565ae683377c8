"""Charts of the pages, as SVG."""
