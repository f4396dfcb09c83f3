"""`python -m segnet_live` is the `segnet-live` command."""

from segnet_live.cli import entry

if __name__ == "__main__":
    entry()
