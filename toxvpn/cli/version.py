"""`toxvpn -V`: what is running, and what is wrong with it, for bug reports."""

import platform

from .. import __version__


def version_text() -> str:
    """Version, Python, libtoxcore and Linux, and which parts of our network under toxcore are in force."""
    from .._native import flaws, netio, toxcore  # loads libtoxcore

    lines = [
        f"toxvpn {__version__}",
        f"Python {platform.python_version()}",
        f"libtoxcore {toxcore.version()}" + (f": {toxcore.FLAW}" if toxcore.FLAW else ""),
    ]
    segments = flaws.flaw_of_segmentation(platform.release())
    if segments is not None:
        lines.append(f"Linux {platform.release()}: {segments}; not done unless config.toml asks for it")
    parts = netio.parts()._asdict()
    shield = netio.shield()
    if shield is not None:
        parts["shield"] = shield
    for name, part in parts.items():
        state = "in force" if part.in_force else f"not in force: {part.reason}"
        lines.append(f"{name.replace('_', ' ')}: {state}")
    return "\n".join(lines)
