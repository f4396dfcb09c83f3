"""What the machine offers: places, files, GPU driver, load, system libraries. No segnet, no pictures."""
