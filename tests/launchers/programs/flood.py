"""Writes without end, as fast as it can."""

import os

block = b"a line of a flood, as long as lines usually are in an output\n" * 64
while True:
    os.write(1, block)
