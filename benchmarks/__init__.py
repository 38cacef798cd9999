"""Benchmarks: what coordination costs beside the floor of the file system and beside other lock libraries."""
