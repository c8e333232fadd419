"""--config: finds config.toml, and parses it, once for the whole command."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..state.places import find_config
from .shared import PATH, Settings, flag

if TYPE_CHECKING:
    from ..config.model import Config

FILE_NAME = "config.toml"

CONFIG = flag("Common", "--config", "config_file", metavar="FILE", type=PATH,
              help="The configuration. [default: config.toml in -C DIR, or the usual place]")  # fmt: skip


def config_path(settings: Settings, typed: Path | None) -> Path:
    return (typed or find_config(settings.directory) / FILE_NAME).absolute()


def find_configuration(settings: Settings, typed: Path | None) -> "Config | None":
    """Loads config.toml; None when it does not exist and --config was not given. Raises ConfigError."""
    path = config_path(settings, typed)
    if typed is None and not may_exist(path):
        return None
    from ..config.file import load  # and what parses TOML: a client is in a hurry

    return load(path)


def may_exist(path: Path) -> bool:
    """Whether it exists, or this user may not look, which reading it then says."""
    try:
        return path.exists()
    except PermissionError:
        return True
