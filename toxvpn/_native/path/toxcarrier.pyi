from typing import Self

from typing_extensions import disjoint_base

from ..toxcore import Tox
from .carrier import Carrier

@disjoint_base
class ToxCarrier(Carrier):
    """Lossy packets over a Tox handle; keeps the handle's object alive, not open."""

    def __new__(cls, tox: Tox) -> Self: ...
