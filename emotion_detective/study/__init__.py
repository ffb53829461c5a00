"""Runs to learn from before the real one: the range of learning rates, architectures compared.

It trains by `training`, and must not know the Hub or the page.
"""
