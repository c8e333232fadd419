"""The site is built without warnings, and its pages take nothing from elsewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAKEN = re.compile(r"<(?:script|img|iframe|source|video|link)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^>]*>")
"""A tag that makes a browser fetch something from another host. A link (<a>) does not until it is clicked."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docs") / "site"
    ran = subprocess.run([ROOT / "scripts" / "docs", directory], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return directory


def test_the_first_page_leads_to_the_others(site: Path) -> None:
    assert "url=docs/index.html" in site.joinpath("index.html").read_text()
    first = site.joinpath("docs/index.html").read_text()
    for page in ("tutorial.html", "reference/command-line.html", "../README.html"):
        assert f'href="{page}"' in first


def test_a_reader_is_told_to_nobody(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert not TAKEN.search(page.read_text()), page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text()), style
