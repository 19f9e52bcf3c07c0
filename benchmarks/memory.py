"""Peak memory of `align` for XLM-R base on two processes, under DDP and each ZeRO stage, beside DeepSpeed's formula.

    python benchmarks/memory.py [--only ddp,zero2] [--steps 2]

On CPUs, in bf16: what a process takes beyond what it took with a model of two layers and 20,000 embeddings, that is,
without Python, libraries and the launch. The formula counts model states alone (DDP 16 bytes a parameter; ZeRO-1
4 + 12/N, ZeRO-2 2 + 14/N, ZeRO-3 16/N); activations of a few short sentences and buffers of a fixed size come on top.
Writes ``benchmarks/results/memory.json``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import xlmr
from comparison import write
from gpu_memory import line

HERE = Path(__file__).resolve().parent
PROCESSES, PARAMETERS = 2, 278e6
# Launch file, further options, and the formula's bytes a parameter.
CASES: dict[str, tuple[str, list[str], float]] = {
    "ddp": ("multi_cpu", [], 16),
    "ddp, used vocabulary": ("multi_cpu", ["--set", "vocabulary=used"], 16),
    "zero1": ("deepspeed_zero1", [], 4 + 12 / PROCESSES),
    "zero2": ("deepspeed_zero2", [], 2 + 14 / PROCESSES),
    "zero2, used vocabulary": ("deepspeed_zero2", ["--set", "vocabulary=used"], 2 + 14 / PROCESSES),
    "zero3": ("deepspeed_zero3", [], 16 / PROCESSES),
}


def peak_gb(case: str, model: str, steps: int) -> float:
    """The larger of the two processes' peaks."""
    launch, options, _ = CASES[case]
    with tempfile.TemporaryDirectory() as folder:
        data = xlmr.write_pairs(Path(folder) / "data", data=None, pairs=400)
        command = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0"]
        command += ["--config_file", f"accelerate_configs/{launch}.yaml", str(HERE / "with_peak_memory.py"), "align"]
        command += [
            "--pair",
            "de-en",
            "--loss",
            "S1W0M0",
            "--model",
            model,
            "--data",
            data,
            "--output",
            f"{folder}/run",
        ]
        command += ["--precision", "bf16", "--batch-size", "4", "--steps", str(steps), "--tracking", "none", "--quiet"]
        for option in (
            "vocabulary=whole",
            "max_length=16",
            "held_out=8",
            "eval_pairs=2",
            "eval_every=100",
            "keep_steps=",
            "layer=1/1",
        ):
            command += ["--set", option]
        environment = os.environ | {"PEAK_MEMORY": f"{folder}/peak", "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *options], cwd=HERE.parent, env=environment, check=True)
        return max(float(path.read_text()) for path in Path(folder).glob("peak.*")) / 1000


def main() -> None:
    """Measure each case, write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="cases, with commas between them")
    parser.add_argument("--steps", type=int, default=2)
    given = parser.parse_args()
    chosen = [case for case in CASES if not given.only or case in given.only.split(",")]
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        model = xlmr.write_model(Path(folder) / "xlm-r")
        small = xlmr.write_model(Path(folder) / "small", width=64, layers=2, entries=20_000)
        for case in chosen:
            formula = PARAMETERS * CASES[case][2] / 1e9
            peak = peak_gb(case, model, given.steps) - peak_gb(case, small, given.steps)
            what = "peak GB of a process of align S1W0M0 on two, bf16, beside the formula for model states: XLM-R"
            entries.append(line(f"{what}, {case}", peak, formula))
            write("memory", entries)


if __name__ == "__main__":
    main()
