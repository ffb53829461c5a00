"""The only room that knows Gradio: the tabs, the API's answers, and what visitors send and fetch.

It shows what `core` and `video` answer, and must import nothing that trains or publishes.
"""
