"""The tables of bench/networks.py, and where they go."""

import pytest

from bench.networks import Outcomes, batches, kinds_rows, written
from bench.scenes import KINDS, PEOPLE, kinds_of


def test_the_path_is_that_of_most_runs() -> None:
    assert Outcomes(["direct"] * 3).path() == "direct"
    assert Outcomes(["direct", "relay", "direct"]).path() == "direct (2 of 3)"


def test_a_flow_that_got_nowhere_is_told_from_one_that_was_not_tried() -> None:
    mbit = {"vpn": [10.0, 20.0], "fast": [0.0, 0.0], "tuntox": []}
    assert Outcomes(["relay"], [3.0], [], mbit).cells() == ["relay", "3.0", "-", "15 (10-20)", "no", "-"]


def test_every_kind_meets_every_kind_once() -> None:
    kinds = kinds_of("")
    assert len(kinds) == len(KINDS) * (len(KINDS) + 1) / 2
    rows = kinds_rows({name: Outcomes([name]) for name in kinds})
    cells = [cell for _, *row in rows for cell in row]
    assert len(cells) == len(KINDS) ** 2 and all(cells) and set(cells) == set(kinds)


def test_every_scene_is_in_one_batch() -> None:
    assert [name for batch in batches(PEOPLE, 4) for name in batch] == list(PEOPLE)


def test_rows_replace_those_of_the_same_scene() -> None:
    page = "Before.\n\n<!-- people -->\n<!-- end of people -->\nAfter.\n"
    header = ["network", "path"]
    order = ["Home", "Hotel", "LTE"]
    first = written(page, "people", header, [["Hotel", "none"], ["Home", "relay"], ["Gone", "none"]], order)
    second = written(first, "people", header, [["LTE", "direct"], ["Home", "direct"]], order)
    assert second == (
        "Before.\n\n<!-- people -->\n\n| network | path |\n| --- | --- |\n"
        "| Home | direct |\n| Hotel | none |\n| LTE | direct |\n\n<!-- end of people -->\nAfter.\n"
    )
    with pytest.raises(ValueError, match="no place for kinds"):
        written(page, "kinds", header, [], order)
