"""Weights in, Hub out: the checkpoint's card, the dataset's card and the Space.

It builds on `training`, `evaluation` and `core`, and must not know the page's code.
"""
