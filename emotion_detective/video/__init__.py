"""Frames over time: decoding, which face is which, what it showed when, and the boxes drawn.

It asks `core` about each frame, and must not know training or the page.
"""
