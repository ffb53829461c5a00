"""Probabilities and labels -> numbers, plots and tables, with FER+'s votes as a second opinion.

It asks `core` for probabilities, and must not know how a network was trained.
"""
