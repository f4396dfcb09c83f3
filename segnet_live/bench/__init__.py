"""`segnet-live bench`: speed, memory and agreement of every model on every engine of this machine."""
