"""How far numbers lie from each other."""

from stats.basic import avg


def deviation(values):
    middle = avg(values)
    return avg([abs(value - middle) for value in values])
