"""The arithmetic behind the core: MTCNN's faces, and a network's forward pass by what is fastest.

It must import no other room: it knows no pictures as files, no labels and no checkpoint.
"""
