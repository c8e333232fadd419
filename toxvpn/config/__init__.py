"""The configuration of a run: config.toml and the flags, as frozen values."""
