"""The process that a run is in: background, pidfile, signals, privileges, systemd."""
