"""The judge's own figures: its answers against the truth of rendered scenes it never saw.

    python benchmarks/evaluate_judge.py [--judge FOLDER] [--scenes 1000] [--write]

Prints them as JSON; `--write` puts them into the judge's card.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from attention_studio.emoji.judge_net import JudgeNet
from attention_studio.emoji.train.card import read_card, write_card
from attention_studio.emoji.train.check_judge import measure
from attention_studio.emoji.train.run import EMBEDDED, packaged_autoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--judge", type=Path, default=EMBEDDED / "judge")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=100, help="of each kind")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    net = JudgeNet.load(asked.judge)
    vae = packaged_autoencoder().eval()
    found = measure(vae, scenes=asked.scenes, broken=asked.broken, net=net)
    print(json.dumps(found, indent=2))
    if asked.write:
        write_card(replace(read_card(asked.judge), figures=found), asked.judge)


if __name__ == "__main__":
    main()
