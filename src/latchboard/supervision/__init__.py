"""Supervision: keeps as many workers of each role running as are wanted, and ends exactly those that it is told to.

`keeping` is the supervisor's own process, `service` what commands do. Nothing depends on it: a worker is as good when
somebody runs it by hand, or a service manager does.

Protocol: protocol/supervision.md.
"""
