"""Labels: what a person or a peer calls a machine becomes one, or is refused by name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.names.label import LabelRefusal, label_of, numbered

LABEL = re.compile(r"(?!..--)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("box", "box"),
        ("BOX", "box"),
        ("my_nas 2", "my-nas-2"),
        ("office.pi", "office-pi"),
        ("example.com", "example-com"),  # below tox.internal it takes nobody's domain
        ("-box-", "box"),
        ("3", "3"),
        ("a" * 64, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
    ],
)
def test_a_name_becomes_a_label(text: str, label: str) -> None:
    assert label_of(text) == label


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", LabelRefusal.CHARACTERS),
        ("---", LabelRefusal.CHARACTERS),
        ("Büro", LabelRefusal.CHARACTERS),
        ("bоx", LabelRefusal.CHARACTERS),  # a Cyrillic о
        ("\u212aiosk", LabelRefusal.CHARACTERS),  # KELVIN SIGN, whose lower case is the letter k
        ("ｂｏｘ", LabelRefusal.CHARACTERS),
        ("box\u200b", LabelRefusal.CHARACTERS),
        ("box\n10.0.0.1 bank", LabelRefusal.CHARACTERS),
        ("box#", LabelRefusal.CHARACTERS),
        ("a/b", LabelRefusal.CHARACTERS),
        ("wpad", LabelRefusal.RESERVED),
        ("LOCALHOST.", LabelRefusal.RESERVED),
        ("xn--bx-fka", LabelRefusal.ENCODED),
        ("ab--c", LabelRefusal.ENCODED),
    ],
)
def test_what_is_no_name_is_refused(text: str, why: LabelRefusal) -> None:
    assert label_of(text) is why


@given(st.text(max_size=80) | st.text("abXY09-_. ", max_size=80))
def test_any_text_gives_a_valid_label_or_a_reason(text: str) -> None:
    label = label_of(text)
    if not isinstance(label, LabelRefusal):
        assert LABEL.fullmatch(label)
        assert label_of(label) == label


@given(st.from_regex(LABEL, fullmatch=True), st.integers(2, 10_000))
def test_a_number_keeps_it_a_label(label: str, number: int) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", numbered(label, number))
