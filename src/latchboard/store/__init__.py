"""Shared state: keys, values and revisions. Knows no capability of what is kept in it."""
