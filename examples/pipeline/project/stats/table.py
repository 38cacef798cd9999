"""A line of figures, by their names."""

from stats import basic

SHOWN = ("total", "avg")


def line(values):
    return ", ".join(f"{name} {getattr(basic, name)(values):g}" for name in SHOWN)
