"""The session behind the window."""
