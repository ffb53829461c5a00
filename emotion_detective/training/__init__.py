"""Splits in, checkpoint out: the recipe, the loop, what a run keeps on disk, the measured export.

It builds on `data`, `evaluation` and `core`, and must not know the Hub's uploads or the page.
"""
