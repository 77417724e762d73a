"""``python -m sidekeys_engine.training``: the steps from POP909 to a checkpoint and its figures."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.pianist import DEVICES, Pianist, choose_device
from sidekeys_engine.training.checkpoints import save_checkpoint, start_from
from sidekeys_engine.training.dataset import render_all
from sidekeys_engine.training.parallel import in_processes, rank
from sidekeys_engine.training.rendering import architecture
from sidekeys_engine.training.train import Progress, Recipe, Training

_SAVE_SECONDS = 300.0
_TELL_SECONDS = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Run one step; 0 when it worked, 2 for a mistake of the user's."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except InputError as error:
        print(f"sidekeys training: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _render(options: argparse.Namespace) -> None:
    started = time.monotonic()
    done = 0
    for name in render_all(
        options.pop909,
        options.data,
        range(options.first_take, options.first_take + options.takes),
        split=options.split,
        processes=options.processes,
        songs=options.songs,
    ):
        done += 1
        _tell(f"{done} {name} {time.monotonic() - started:.0f} s")
        if options.minutes is not None and time.monotonic() - started > 60 * options.minutes:
            break


def _fit(options: argparse.Namespace) -> None:
    in_processes(options.processes, options.out / "meeting", _fit_share, options)


def _fit_share(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    network = Pop2PianoNetwork(
        architecture(
            d_model=options.width,
            d_ff=2 * options.width,
            num_heads=options.width // 32,
            num_layers=options.encoder_layers,
            num_decoder_layers=options.decoder_layers,
        )
    )
    if options.start is not None:
        start_from(network, options.start)
    recipe = Recipe(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        decay=options.decay,
        seed=options.seed,
    )
    run = Training(network, options.data, recipe, device=choose_device(options.device))
    is_first = rank() == 0
    if run.resume(options.out) and is_first:
        _tell(f"goes on at step {run.progress.step}")
    started = saved = told = time.monotonic()
    until = None if options.minutes is None else started + 60 * options.minutes
    losses: list[float] = []
    first = run.progress.windows

    def on_step(progress: Progress, loss: float) -> None:
        nonlocal saved, told
        if not is_first:
            return
        losses.append(loss)
        now = time.monotonic()
        if now - told > _TELL_SECONDS:
            told = now
            rate = (progress.windows - first) / (now - started)
            recent = sum(losses) / len(losses)
            losses.clear()
            _tell(
                f"step {progress.step} of {recipe.steps}, {progress.windows} windows, pass "
                f"{progress.epoch + 1} over {len(progress.renders)} renders, {rate:.0f} windows/s, "
                f"rate {recipe.rate_at(progress.step):.1e}, loss {recent:.4f}"
            )
        if now - saved > _SAVE_SECONDS:
            run.save(options.out)
            saved = time.monotonic()

    finished = run.run(on_step=on_step, until_seconds=until)
    if not is_first:
        return
    run.save(options.out)
    save_checkpoint(run.averaged(), options.out)
    _tell(f"{'done' if finished else 'stopped'} at step {run.progress.step}: {options.out}")


def _evaluate(options: argparse.Namespace) -> None:
    from sidekeys_engine.training.report import write_report  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    pianists = {str(path): Pianist.from_pretrained(path) for path in options.checkpoints}
    write_report(
        pianists,
        options.pop909,
        options.out,
        split=options.split,
        windows=options.windows,
        songs=options.songs,
        on_song=_tell,
    )


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sidekeys_engine.training",
        description="Train a checkpoint from POP909, step by step.",
    )
    steps = parser.add_subparsers(required=True, metavar="STEP")

    render = steps.add_parser("render", help="songs to windows of sound and tokens")
    render.add_argument("pop909", type=Path, help="folder of the dataset")
    render.add_argument("data", type=Path, help="folder that gets the windows")
    render.add_argument("--split", choices=("train", "validation", "test"), default="train")
    render.add_argument("--takes", type=int, default=1, help="mixes of every song")
    render.add_argument("--first-take", type=int, default=0, help="number of the first mix")
    render.add_argument("--songs", type=int, help="only so many of the songs")
    render.add_argument("--processes", type=int, default=1)
    render.add_argument("--minutes", type=float, help="stop after that long")
    render.set_defaults(run=_render)

    fit = steps.add_parser("fit", help="train, or go on training, on the windows")
    fit.add_argument("data", type=Path, help="folder of the windows")
    fit.add_argument("out", type=Path, help="folder of the run, and of the checkpoint it makes")
    fit.add_argument("--steps", type=int, required=True, help="batches in all")
    fit.add_argument("--batch-size", type=int, default=32)
    fit.add_argument("--learning-rate", type=float, default=1e-3)
    fit.add_argument("--decay", type=float, default=0.4, help="share of the steps it falls over")
    fit.add_argument("--width", type=int, default=256, help="d_model, a multiple of 32")
    fit.add_argument("--encoder-layers", type=int, default=5)
    fit.add_argument("--decoder-layers", type=int, default=2)
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--start", type=Path, help="checkpoint whose weights a new run starts from")
    fit.add_argument("--device", choices=DEVICES, default="auto")
    fit.add_argument("--processes", type=int, default=1, help="that share every batch")
    fit.add_argument("--threads", type=int, default=2, help="of each process")
    fit.add_argument("--minutes", type=float, help="stop after that long; run again to go on")
    fit.set_defaults(run=_fit)

    evaluate = steps.add_parser("evaluate", help="the tables of figures on held-out songs")
    evaluate.add_argument("pop909", type=Path)
    evaluate.add_argument("out", type=Path, help="folder that gets report.md and report.json")
    evaluate.add_argument("checkpoints", nargs="+", help="folders, or builtin")
    evaluate.add_argument("--split", choices=("validation", "test"), default="test")
    evaluate.add_argument("--windows", type=int, default=16, help="of each song")
    evaluate.add_argument("--songs", type=int, help="only so many songs")
    evaluate.add_argument("--threads", type=int, default=2)
    evaluate.set_defaults(run=_evaluate)
    return parser


if __name__ == "__main__":
    sys.exit(main())
