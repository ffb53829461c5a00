"""Weights in, Hub out: the measured checkpoint, its card, the dataset's card and the Space.

It builds on `training`, `evaluation` and `inference`, and must not know the page's code.
"""
