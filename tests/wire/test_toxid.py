"""Tox IDs as people paste them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toxvpn.errors import UsageError
from toxvpn.wire.toxid import ToxId, parse_public_key_or_id, parse_tox_id

# tox_self_get_address() of two fresh identities of libtoxcore 0.2.18
GOLDEN = [
    "F6A634897E7FF92F5B55BACAE44E748383A28A082780ED43D5D6A8A218663E425A774408B26B",
    "5F2B9D748A59C3BBEDFB26643EEBBCD55C779A4DBE92F4F2AD21B515CF04981F9CAD6377FEB3",
]
keys = st.binary(min_size=32, max_size=32).map(lambda key: key[:31] + bytes([key[31] & 0x7F]))
tox_ids = st.builds(ToxId, keys, st.binary(min_size=4, max_size=4))


@pytest.mark.parametrize("text", GOLDEN)
def test_an_id_made_by_toxcore_is_read_and_written_back(text: str) -> None:
    tox_id = parse_tox_id(text)
    assert tox_id.public_key == bytes.fromhex(text[:64])
    assert tox_id.nospam == bytes.fromhex(text[64:72])
    assert tox_id.checksum == bytes.fromhex(text[72:])
    assert str(tox_id) == text
    assert bytes(tox_id) == bytes.fromhex(text)


@pytest.mark.parametrize("form", ["{}", "  {}\n", "tox:{}", "TOX:{}", " tox: {}\t"])
def test_white_space_case_and_uri_prefix_do_not_matter(form: str) -> None:
    for text in GOLDEN:
        assert str(parse_tox_id(form.format(text.lower()))) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOLDEN[0][:75], "it has 75 digits instead of 76"),
        (GOLDEN[0] + "00", "it has 78 digits"),
        (
            GOLDEN[0][:64],
            "is a public key; the Tox ID has 76 digits: ask the peer for what `toxvpn id` prints",
        ),
        ("O" + GOLDEN[0][1:], "character 1 is 'O'"),
        (GOLDEN[0][:40] + " " + GOLDEN[0][40:], "character 41 is ' '"),
        (GOLDEN[0][:-1] + "0", "one digit is wrong or missing"),
        ("", "a Tox ID is missing"),
        ("tox:", "a Tox ID is missing"),
        ("\N{FULLWIDTH DIGIT ONE}" * 76, "character 1"),
        ("\x1b[2J", r"'\x1b[2J'"),
    ],
)
def test_the_line_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tox_id(text)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_either_form_gives_the_key() -> None:
    key = bytes.fromhex(GOLDEN[0][:64])
    assert parse_public_key_or_id(GOLDEN[0]) == key
    assert parse_public_key_or_id(f" {GOLDEN[0][:64].lower()}\n") == key
    with pytest.raises(UsageError, match=r"has 63 digits; give a Tox ID"):
        parse_public_key_or_id(GOLDEN[0][:63])
    with pytest.raises(UsageError, match="checksum"):
        parse_public_key_or_id(GOLDEN[0][:-1] + "0")


@pytest.mark.parametrize("digit", "89ABCDEF")
def test_a_key_that_toxcore_takes_for_none_is_refused(digit: str) -> None:
    """Its last byte's top bit is set: what a typo in the last digit but one makes of it."""
    text = "3" * 62 + digit + "3"
    message = f"is not a public key: its digit 63 must be 0 to 7, not {digit}"
    for wrong in (text, str(ToxId(bytes.fromhex(text), b"spam"))):
        with pytest.raises(UsageError, match=message):
            parse_public_key_or_id(wrong)
    with pytest.raises(UsageError, match=message):
        parse_tox_id(str(ToxId(bytes.fromhex(text), b"spam")))


@given(tox_ids)
def test_any_id_survives_the_round_trip(tox_id: ToxId) -> None:
    assert parse_tox_id(str(tox_id)) == tox_id


@given(tox_ids, st.integers(0, 75), st.integers(1, 15))
def test_one_wrong_digit_is_always_noticed(tox_id: ToxId, place: int, change: int) -> None:
    digits = list(str(tox_id))
    digits[place] = f"{int(digits[place], 16) ^ change:X}"
    with pytest.raises(UsageError, match="checksum"):
        parse_tox_id("".join(digits))


@given(st.text(max_size=100))
def test_any_other_text_is_refused_in_one_printable_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tox_id(text)
    assert str(caught.value).isprintable()
