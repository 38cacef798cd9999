"""Latchboard: locks, mailboxes and a live board for coding agents that share one code base."""
