"""Daemon: the life of a project's daemon: started once, ready when it says so, retired by rule, swept when orphaned.

What it serves is a surface's (`latchboard.surface.web`); what it does in the background are services. Nothing depends
on it: every promise of the protocol holds with no daemon running.

Protocol: protocol/daemon.md (which process it is), protocol/health.md (its life).
"""
