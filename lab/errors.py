"""The one exception of the lab."""


class LabError(Exception):
    """The lab could not do what it was asked to: what happened, where, and what the program involved said."""
