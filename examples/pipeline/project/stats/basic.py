"""The figures themselves."""


def total(values):
    return sum(values)


def avg(values):
    return total(values) / len(values)
