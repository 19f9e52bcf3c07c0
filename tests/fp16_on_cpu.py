"""``python -m xalign`` with a CPU that DeepSpeed believes to know fp16: its loss scaling runs, at a CPU's speed."""

import runpy

from deepspeed.accelerator import get_accelerator

get_accelerator().is_fp16_supported = lambda: True  # type: ignore[method-assign]
runpy.run_module("xalign", run_name="__main__")
