from ..toxcore import Tox
from .carrier import Carrier

class ToxCarrier(Carrier):
    """Lossy packets over a Tox handle; keeps the handle's object alive, not open."""

    def __init__(self, tox: Tox) -> None: ...
