"""Any picture, file or array -> upright RGB: what a file is, its pixels, its depth, its rotation.

It must import no other room: it knows no faces and no page.
"""
