"""What a run is to do: config.toml and the flags, as frozen values."""
