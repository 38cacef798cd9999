"""Figures about lists of numbers."""

from stats.basic import avg as avg
from stats.basic import total as total
