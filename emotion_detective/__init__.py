"""Emotion Detective: six calibrated emotion probabilities for every face in a picture.

The modules, in the order of the data's way, are listed in README.md. Importing the package loads
none of them: `from emotion_detective.detective import EmotionDetective`.
"""
