"""A page in the browser and an HTTP API: Starlette and uvicorn around the library and the window's live session.

Only what `segnet-live serve` needs stands here; the extra `[serve]` brings the two packages.
"""
