"""`python -m toxvpn`."""

from .cli.main import main

main()
