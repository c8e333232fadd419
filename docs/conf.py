"""How Sphinx makes the site, for `scripts/docs`.

The source is the whole repository, so that links between pages are the same in the site and on a forge.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
[VERSION] = re.findall(r'^__version__ = "(.+)"', (ROOT / "toxvpn/__init__.py").read_text(), re.MULTILINE)

project = "toxvpn"
author = "the toxvpn authors"
copyright = "the toxvpn authors, GPL-3.0-or-later"
version = release = VERSION

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**", "*.md", "bench/*.md", "fuzz/*.md"]
exclude_patterns = [".*", "build", "dist", "contrib", "lab", "scripts", "tests", "toxvpn"]

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4  # the anchors of a forge
nitpicky = True

html_theme = "furo"
html_title = f"toxvpn {VERSION}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_site"]
html_copy_source = False
html_use_index = False
html_show_sphinx = False
