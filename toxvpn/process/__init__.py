"""The process around a run: background, pidfile, signals, rights, systemd."""
