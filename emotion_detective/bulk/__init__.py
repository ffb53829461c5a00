"""A million pictures -> rows in parquet files, by many processes; a stopped run can be continued.

It must not know training or the page.
"""
