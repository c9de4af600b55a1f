"""HTTP: the provider endpoint Traefik polls, and the API people and scripts use."""
