"""Entry point of `python -m certs`."""

from certs.cli import main

main()
