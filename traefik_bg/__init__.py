"""Zero-downtime deployments for plain Docker containers behind Traefik."""

__version__ = "0.1.0"
