"""Proofs against the real world: a real Docker Engine and a real Traefik, with load running."""
