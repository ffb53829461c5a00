"""A picture goes in, the emotion of every face comes out: checkpoint, detector, crops, predictions.

Imports no other room: it must not know videos, training, the Hub's uploads or the page.
"""
