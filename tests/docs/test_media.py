"""The pictures of the documents are small and whole; the recorder writes what players and browsers read."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.castsvg import END_S, Frame, Run, cast, svg, without_long_waits

MEDIA = Path(__file__).parents[2] / "docs" / "media"
MAX_BYTES = 300_000  # more is slow to load on a forge
SVG = "{http://www.w3.org/2000/svg}"

PROMPT = (Run(0, "$", "green", bold=True), Run(2, "a < b"))
FRAMES = [
    Frame(3.0, ((Run(0, "title", "bar"),), ())),
    Frame(3.5, ((Run(0, "title", "bar"),), PROMPT)),
    Frame(60.0, (PROMPT, (Run(0, "done"),))),
]


@pytest.mark.parametrize("picture", sorted(MEDIA.glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_is_small_whole_and_takes_nothing_from_elsewhere(picture: Path) -> None:
    text = picture.read_text()
    assert len(text) < MAX_BYTES
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert not any(name in text for name in ("<script", "<image", "@import", "url(http", 'href="http'))


@pytest.mark.parametrize("recording", sorted(MEDIA.glob("*.cast")), ids=lambda path: path.name)
def test_a_recording_is_an_asciicast(recording: Path) -> None:
    header, *events = map(json.loads, recording.read_text().splitlines())
    assert header["version"] == 2
    times_s = [time_s for time_s, kind, _ in events if kind == "o"]
    assert times_s == sorted(times_s)


def test_a_long_wait_is_cut_and_nothing_else() -> None:
    assert [frame.at_s for frame in without_long_waits(FRAMES, 2.0)] == [0.0, 0.5, 2.5]


def test_a_cast_has_what_changes() -> None:
    header, first, second, third = map(json.loads, cast(FRAMES, 80, "x").splitlines())
    assert (header["width"], header["height"]) == (80, 2)
    assert "title" in first[2]
    assert "title" not in second[2]
    assert "a < b" in second[2]
    assert "done" in third[2]


def test_an_svg_has_each_line_once_and_shows_it_in_each_frame() -> None:
    root = ElementTree.fromstring(svg(FRAMES, 80, "x"))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert sorted(filter(None, texts)) == ["$", "a < b", "done", "title"]
    assert len(list(root.iter(f"{SVG}use"))) == 5
    assert f"{60 + END_S:.2f}s step-end" in "".join(root.itertext())
