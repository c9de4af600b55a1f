"""The loop: look, decide, act, wait. Knows ports only."""
