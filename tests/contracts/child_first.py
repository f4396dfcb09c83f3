"""Compile a network in a child process and then here, for the CPU; print how often this process met Inductor's cache.

python child_first.py MODEL-FOLDER
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from torch._dynamo.utils import counters

from segnet_live.card import read_card
from segnet_live.engine.nvidia.build_process import warm_in_child
from segnet_live.engine.nvidia.inductor import InductorEngine

SIZE = (45, 59)
CHILD = """
import sys
from functools import partial
from segnet_live.engine.nvidia import build_process
build_process.InductorEngine = partial(build_process.InductorEngine, device="cpu")
sys.exit(build_process.main(sys.argv))
"""

card = read_card(Path(sys.argv[1]))
warm_in_child(card, SIZE, "fp32", threading.Event(), child=(sys.executable, "-c", CHILD))
InductorEngine(card, SIZE, precision="fp32", device="cpu").close()
print(json.dumps({name: counters["inductor"][f"fxgraph_cache_{name}"] for name in ("hit", "miss")}))
