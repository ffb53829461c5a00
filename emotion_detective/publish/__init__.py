"""Weights in, Hub out: the checkpoint's card, the dataset's card and the Space.

It builds on `evaluation` and `core`, and must not know how a network is trained or the page's code.
"""
