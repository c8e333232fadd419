"""Links between the Markdown files lead somewhere, and those to other places are well-formed."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "docs", "bench", "contrib", "packaging", "lab", "debian")
PAGES = sorted(
    page
    for folder in FOLDERS
    for page in ((ROOT / folder).glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
)
HTML_LINK = re.compile(r"""<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=["']([^"']+)["']""")


@cache
def tokens(page: Path) -> list[Token]:
    """The page's tokens, without those inside others."""
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        found += [token, *(token.children or [])]
    return found


def links(page: Path) -> Iterator[str]:
    for token in tokens(page):
        if token.type in {"link_open", "image"}:
            yield str(token.attrs.get("href") or token.attrs.get("src"))
        elif token.type in {"html_block", "html_inline"}:
            yield from HTML_LINK.findall(token.content)


@cache
def anchors(page: Path) -> set[str]:
    """Those that a forge gives to the headings."""
    found: set[str] = set()
    flat = tokens(page)
    for heading, inline in pairwise(flat):
        if heading.type == "heading_open":
            name = slug("".join(each.content for each in inline.children or []))
            again = (f"{name}-{number}" for number in range(1, 100))
            found.add(name if name not in found else next(each for each in again if each not in found))
    return found


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a link of the page."""
    parts = urlsplit(link)
    if parts.scheme:
        well_formed = parts.scheme == "https" and "." in parts.netloc and not re.search(r"\s", link)
        local = parts.scheme == "http" and parts.hostname == "localhost"
        return None if well_formed or local or parts.scheme == "mailto" else "is not a link to https://…"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return "is not there"
    if parts.fragment and parts.fragment not in anchors(target):
        return f"has no such heading: it has {', '.join(sorted(anchors(target)))}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    wrong = [f"{link} {said}" for link in links(page) if (said := problem(page, link))]
    assert not wrong


@pytest.mark.parametrize(
    "link", ["gone.md", "README.md#gone", "http://example.org/", "https://", "../../etc/passwd", "#gone"]
)
def test_a_wrong_link_is_seen(link: str) -> None:
    assert problem(ROOT / "CONTRIBUTING.md", link)


@pytest.mark.parametrize("link", ["README.md", "docs/design.md#the-rooms", "#style", "https://tox.chat/"])
def test_a_right_link_passes(link: str) -> None:
    assert problem(ROOT / "CONTRIBUTING.md", link) is None
