"""Photo to prediction: the checkpoint, the faces of a picture, their crops, their probabilities.

It opens the doors of `files` and `engines`, and must not know videos, training, the Hub's uploads
or the page.
"""
