"""Makes the label of a host name out of what a person or a peer calls a machine. Pure.

A label is one part of a host name: 1 to 63 of a-z, 0-9 and '-', neither first nor last a '-' (RFC 1123 §2.1,
RFC 5890 §2.3.1). What only looks like a Latin letter is refused, not transliterated, and so are labels that a
browser would show in another script (RFC 5891 §4.2.3.1).
"""

from enum import StrEnum

MAX_LABEL_BYTES = 63
LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
SEPARATORS = str.maketrans("_. ", "---")
RESERVED = frozenset({"localhost", "wpad", "isatap", "autodiscover", "broadcasthost"})
"""Names that programs look up by themselves in whatever domain they are told to search."""
FORM = "letters from a to z, digits and '-'"


class LabelRefusal(StrEnum):
    """The reason why a text is no name for a machine."""

    CHARACTERS = f"a name on the network has {FORM} only"
    RESERVED = "programs look that name up by themselves, and would be led to this peer"
    ENCODED = "it has '--' in the third place, where names in other scripts are marked"


def label_of(text: str) -> str | LabelRefusal:
    """The label for a machine that is called `text`, in lower case; or why there is none.

    '_', '.' and spaces become '-', and what is too long is cut.
    """
    if not text.isascii():  # first: some other letters have a lower case in ASCII
        return LabelRefusal.CHARACTERS
    label = text.lower().translate(SEPARATORS).strip("-")[:MAX_LABEL_BYTES].rstrip("-")
    if not label or not LABEL_CHARACTERS.issuperset(label):
        return LabelRefusal.CHARACTERS
    if label in RESERVED:
        return LabelRefusal.RESERVED
    if label[2:4] == "--":
        return LabelRefusal.ENCODED
    return label


def numbered(label: str, number: int) -> str:
    """`label` with a suffix such as `-2`, cut so that it stays a label."""
    suffix = f"-{number}"
    return label[: MAX_LABEL_BYTES - len(suffix)].rstrip("-") + suffix
