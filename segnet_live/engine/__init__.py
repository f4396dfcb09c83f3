"""Engines: uint8 RGB frame of any size in, uint8 label map at network size out."""
