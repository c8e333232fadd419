"""The targets of fuzz/ with the inputs that are kept, and some new ones. `scripts/fuzz` tries many more."""

from pathlib import Path

import pytest

from fuzz import corpus, native
from fuzz.run import Outcome, options, run
from fuzz.target import Choices, pieces
from fuzz.targets import TARGETS

FEW_RUNS, MOST_S = 150, 1


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name: str) -> None:
    kept = corpus.load(name)
    assert kept
    for data in kept:
        TARGETS[name](data)


def test_new_inputs(tmp_path: Path) -> None:
    """The same ones each time."""
    outcomes = run(list(TARGETS), options(runs=FEW_RUNS, seconds=MOST_S, seed=1), tmp_path, plain=True)
    assert {each.name: said(each, tmp_path) for each in outcomes if each.code} == {}
    assert all(each.inputs for each in outcomes)


@pytest.mark.parametrize("name", native.PROGRAMS)
def test_new_inputs_of_a_program(name: str, tmp_path: Path) -> None:
    kept = len(corpus.load(name))
    [outcome] = run([name], options(runs=kept + FEW_RUNS, seed=1), tmp_path)
    assert outcome.code == 0, said(outcome, tmp_path)
    assert outcome.inputs >= kept


def said(outcome: Outcome, work: Path) -> str:
    return work.joinpath(f"{outcome.name}.log").read_text(errors="replace")


def test_each_target_has_a_corpus() -> None:
    assert {path.stem for path in corpus.HERE.iterdir()} == {*TARGETS, *native.PROGRAMS}


def test_what_is_kept_can_be_unpacked(tmp_path: Path) -> None:
    corpus.unpack("frame", tmp_path / "frame")
    found = [path.read_bytes() for path in (tmp_path / "frame").iterdir()]
    assert sorted(found) == sorted(corpus.load("frame"))


def test_choices_end_in_zeros() -> None:
    choices = Choices(b"\1\2\3\4")
    assert (choices.number(), choices.number(2), choices.number(4)) == (1, 0x0203, 0x04000000)
    choices = Choices(b"\0\2ab")
    assert choices.chunk() == b"ab"
    assert (choices.left, choices.number(4), choices.below(7), choices.rest()) == (0, 0, 0, b"")


def test_pieces_add_up() -> None:
    assert b"".join(pieces(b"abcdef", Choices(b"\2\3"))) == b"abcdef"
