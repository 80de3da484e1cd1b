"""Sphinx: ``make docs`` writes the pages to ``docs/_build``, and any warning is an error."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.write_tables import write
from sessiond import __version__

project = "sessiond"
author = "the sessiond authors"
copyright = author
release = version = __version__
exclude_patterns = ["_build", "_generated"]
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {
    "description": "The session daemon behind a web portal",
    "fixed_sidebar": True,
    "page_width": "64rem",
}

write(Path(__file__).with_name("_generated"))
