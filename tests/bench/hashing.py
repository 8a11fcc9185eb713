# SPDX-License-Identifier: BSD-2-Clause
"""What the label hash costs by the length of a label (hash.c)."""
import json

import build
from result import Target

SHORT, LONG = "16", "504"


def measure(results, rounds):
    found = [json.loads(build.output(build.OUT / "hash")) for _ in range(rounds)]
    steps = (int(LONG) - int(SHORT)) / 8
    last = found[-1]
    results.add(Target("hash", "label hash: each further 8 bytes of a label", 1.0, unit="ns"),
                [(one[LONG][0] - one[SHORT][0]) / steps for one in found],
                detail=f"a label of up to 16 bytes takes {last[SHORT][0]:.1f} ns, of 64 {last['64'][0]:.1f}, "
                       f"of {LONG} {last[LONG][0]:.1f}, strlen() included")
    results.facts["hash_ns"] = found
