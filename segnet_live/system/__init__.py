"""What the machine offers: places of files, whole writes, GPU driver, load, Qt's libraries. No networks, no pictures.

Each file stands alone; `files.py`, through which everything is written, is the one to read first.
"""
