"""The subcommands of `segnet-live`: each module has `add_arguments(parser)` and `run(arguments) -> int`.

`cli.py` finds them by name. `doctor.py` is the largest: it prints `finding.Finding`s, and `doctor_engines.py` tries
every engine for it. `cache.py` lists and clears what `engine/artifacts.py` keeps; the keeping itself is there.
"""
