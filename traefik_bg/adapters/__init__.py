"""The only code that touches the outside: Docker, Traefik, files, sockets and SQLite."""
