"""Phase II: fine-tuning an encoder, or a head on the frozen encoder, on English.

    accelerate launch -m xalign finetune --task pos --mode full --model runs/align/de-en/S1W0M1 --output runs/pos

Several seeds are trained one after the other in one run. Weight decay, where there is one, applies to all trained
parameters. Source: Veitsman, Liu & Schütze 2026, §4.3 and appendix B.
"""

from __future__ import annotations

from pathlib import Path

from xalign.config import FinetuneConfig
from xalign.encoder import load_encoder
from xalign.engine import launch
from xalign.errors import UsageError
from xalign.model_source import find_model
from xalign.naming import encoder_name, finetune_name, runs_directory
from xalign.phases.inputs import describe_inputs, open_data
from xalign.phases.task_data import TaskData
from xalign.runs import RunResult, completed, open_run, run_key
from xalign.tasks import make_task
from xalign.tasks.all_seeds import start, train_models
from xalign.tracking import following

NO_LINEAGE = dict.fromkeys(("pair", "loss", "align_seed", "align_step"))


def finetune(config: FinetuneConfig, *, keep_epochs: bool = False) -> RunResult:
    """Train one model for each seed, and in linear mode a converged probe beside them.

    Args:
        keep_epochs: leave the encoder and head of each epoch in `xalign.tasks.training.epoch_directory`.

    Returns:
        the run; `xalign.tasks.finetuned.read_finetuned` reads it back.

    Raises:
        UsageError: an option, model, language or output that does not fit, before anything is written.
        XalignError: training failed; what was reached stays for ``--resume``.
    """
    check_combination(config)
    config = launch.with_precision(config)
    task = make_task(config.task, label_on=config.label_on, pooling=config.pooling)
    source = find_model(config.model)
    data = open_data(config.data)
    material = TaskData(config, data, task)
    inputs = describe_inputs(data, material.files, source)
    if not config.overwrite and (done := completed(Path(config.output), run_key("finetune", config, inputs))):
        return done
    sentences = material.load()
    encoder = load_encoder(source, dropout=config.dropout)
    lineage = {**NO_LINEAGE, **source.lineage, "encoder": source.name, "task": config.task, "mode": config.mode}
    lineage = material.lineage(lineage)
    name = finetune_name(config.task, config.mode, encoder_name(lineage))
    with open_run(config, "finetune", name, lineage, inputs, main=launch.rank() == 0) as run:
        runs = runs_directory(run.directory, name)
        with following(run, runs=runs, tracking=config.tracking, log_checkpoints=config.log_checkpoints):
            accelerator = start(config)
            try:
                run.write("environment.json", launch.environment(accelerator, config.precision))
                trained = train_models(
                    run, config, task, source, encoder, sentences, accelerator, keep_epochs=keep_epochs
                )
                return run.finish(material.cost() | trained)
            finally:
                launch.stop(accelerator)


def check_combination(config: FinetuneConfig) -> None:
    """Refuse options that contradict each other or the launch.

    Raises:
        UsageError: which, and what to do.
    """
    processes = launch.world_size()
    if config.batch_size % (processes * config.accumulation):
        raise UsageError(
            f"batch_size={config.batch_size} does not divide over {processes} processes × "
            f"accumulation={config.accumulation}"
        )
    if len(set(config.seeds)) < len(config.seeds) or not config.seeds:
        raise UsageError(f"seeds={','.join(map(str, config.seeds)) or 'none'}: give each seed once, and at least one")
    if config.select == "best-dev" and launch.under_deepspeed():
        raise UsageError("select=best-dev cannot collect an epoch's weights under DeepSpeed: use select=last")
