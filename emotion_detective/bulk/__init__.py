"""A million pictures -> rows in parquet files, by many processes, to be stopped and gone on with.

It must not know training or the page.
"""
