"""Runs the command line: `python -m traefik_bg`."""

from traefik_bg.cli import main

main()
