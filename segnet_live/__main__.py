"""`python -m segnet_live` is the `segnet-live` command."""

from segnet_live.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
