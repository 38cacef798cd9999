"""Hooks: what a client runs before and after each call of its agent; one process per event."""
