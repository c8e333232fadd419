"""`toxvpn -V`: what is running, for bug reports."""

import platform

from .. import __version__


def version_text() -> str:
    """Version, Python and libtoxcore, and which parts of our network under toxcore are in force."""
    from .._native import netio, toxcore  # loads libtoxcore

    lines = [
        f"toxvpn {__version__}",
        f"Python {platform.python_version()}",
        f"libtoxcore {toxcore.version()}",
    ]
    parts = netio.parts()._asdict()
    for name, part in parts.items():
        state = "in force" if part.in_force else f"not in force: {part.reason}"
        lines.append(f"{name.replace('_', ' ')}: {state}")
    return "\n".join(lines)
