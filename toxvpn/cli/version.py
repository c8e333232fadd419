"""`toxvpn -V`: the versions in use, and what is wrong with them, for bug reports."""

import platform

from .. import __version__


def version_text() -> str:
    """Versions of toxvpn, Python and libtoxcore, and which hooks under toxcore are in force."""
    from .._native.net import netio
    from ..tox import advisories  # loads libtoxcore

    lines = [f"toxvpn {__version__}", f"Python {platform.python_version()}", advisories.describe_libtoxcore()]
    if (shield := advisories.describe_shield()) is not None:
        lines.append(f"shield: {shield}")
    for name, hook in netio.hooks()._asdict().items():
        by = f", {kernel}" if name == "crypto" and (kernel := netio.kernel()) else ""
        state = f"in force{by}" if hook.in_force else f"not in force: {hook.reason}"
        lines.append(f"{name.replace('_', ' ')}: {state}")
    if (bad := advisories.describe_segmentation_flaw()) is not None:
        lines.append(f"{bad}; sent singly unless config.toml says otherwise")
    return "\n".join(lines)
