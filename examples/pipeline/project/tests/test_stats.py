import unittest

from stats import avg, total
from stats.spread import deviation
from stats.table import line


class Figures(unittest.TestCase):
    def test_figures(self):
        self.assertEqual((total([1, 2, 6]), avg([1, 2, 6])), (9, 3))

    def test_deviation(self):
        self.assertEqual(deviation([1, 3]), 1)

    def test_line(self):
        self.assertRegex(line([1, 2, 6]), r"^total 9, \w+ 3$")
