"""Images in, weights out: the recipe, data without leaks, the loop, and what a run keeps on disk.

It builds on `evaluation` and `inference`, and must not know the Hub's uploads or the page.
"""
