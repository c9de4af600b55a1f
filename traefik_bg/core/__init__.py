"""Everything that decides, and nothing that acts.

Kept apart so that every decision can be tested without Docker, Traefik or a clock. Nothing in here
may import asyncio, a third-party package, or any other package of the project.
"""
