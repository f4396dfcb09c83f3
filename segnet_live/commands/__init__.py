"""Most subcommands of `segnet-live`: modules with `add_arguments(parser)` and `run(arguments) -> int`.

`cli.COMMANDS` names each command's module; `bench` and `correct` live elsewhere. `drives.py`, `finding.py` and
`doctor_engines.py` are shared parts: what commands on drives have in common, the lines of doctor's report, and the
trial of every engine for it. `cache.py` lists and clears what `engine/artifacts.py` keeps; the keeping itself is there.
"""
