"""The one exception of the lab."""


class LabError(Exception):
    """The lab could not do what it was asked to. The text has the program's own output."""
