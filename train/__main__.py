"""`python -m train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from train.data import load_camvid
from train.fit import FitConfig, fit


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m train")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("fit")
    command.add_argument("--data", type=Path, required=True)
    command.add_argument("--model", default="segnet-fast")
    command.add_argument("--epochs", type=int, default=200)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--init", type=Path)
    command.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    config = FitConfig(model=args.model, epochs=args.epochs, lr=args.lr)
    fit(config, load_camvid(args.data, "train"), load_camvid(args.data, "val"), args.out, args.init)


if __name__ == "__main__":
    main()
