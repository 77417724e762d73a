"""``python -m sidekeys_engine.training``: the steps from POP909 to a checkpoint and its figures."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.pianist import DEVICES, Pianist, choose_device
from sidekeys_engine.training.checkpoints import save_checkpoint, start_from
from sidekeys_engine.training.dataset import bands_in, render_all
from sidekeys_engine.training.parallel import in_processes, rank
from sidekeys_engine.training.rendering import architecture
from sidekeys_engine.training.stopping import asked_to_stop
from sidekeys_engine.training.train import Progress, Recipe, Training

USER_ERROR, INTERRUPTED = 2, 130
_HEAD_WIDTH = 32
_WIDTH = 256
_SAVE_SECONDS = 300.0
_TELL_SECONDS = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Run one step; 0 when it worked, 2 for a mistake of the user's, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except InputError as error:
        _complain(str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        _complain("stopped at once; what was whole before is kept.")
        return INTERRUPTED
    return status


def _render(options: argparse.Namespace) -> int:
    started = time.monotonic()
    renders = render_all(
        options.pop909,
        options.data,
        range(options.first_take, options.first_take + options.takes),
        split=options.split,
        processes=options.processes,
        songs=options.songs,
        bands=options.width,
    )
    for done, name in enumerate(renders, start=1):
        seconds = time.monotonic() - started
        _tell(f"{done} {name} {seconds:.0f} s")
        if options.minutes is not None and seconds > 60 * options.minutes:
            break
    return 0


def _fit(options: argparse.Namespace) -> int:
    if options.width % _HEAD_WIDTH:
        raise InputError(f"--width is a multiple of {_HEAD_WIDTH}, not {options.width}.")
    bands = bands_in(options.data)
    if bands != options.width:
        raise InputError(
            f"The windows in {options.data} have {bands} bands; give --width {bands}, or render "
            f"others with --width {options.width}."
        )
    with asked_to_stop() as is_stopped:
        is_finished = in_processes(options.processes, _fit_share, options, is_stopped=is_stopped)
        return INTERRUPTED if is_stopped() and not is_finished else 0


def _fit_share(is_stopped: Callable[[], bool], options: argparse.Namespace) -> bool:
    """What each of the processes does that train together; the first one tells and saves.

    Returns:
        Whether the last step is done.
    """
    torch.set_num_threads(options.threads)
    run = _run_of(options)
    is_first = rank() == 0
    if run.resume(options.out) and is_first:
        _tell(f"goes on at step {run.progress.step}")
    is_finished = run.run(
        on_step=_Watch(run, options.out) if is_first else None,
        until_seconds=_seconds_after_now(options.minutes),
        now=lambda: math.inf if is_stopped() else time.monotonic(),
    )
    if is_first:
        run.save(options.out)
        save_checkpoint(run.averaged(), options.out)
        if is_finished:
            _tell(f"done at step {run.progress.step}: {options.out}")
        else:
            _tell(f"stopped at step {run.progress.step}; the same command goes on: {options.out}")
    return is_finished


def _run_of(options: argparse.Namespace) -> Training:
    """A run at its start."""
    torch.manual_seed(options.seed)
    network = Pop2PianoNetwork(
        architecture(
            d_model=options.width,
            d_ff=2 * options.width,
            num_heads=options.width // _HEAD_WIDTH,
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
    return Training(network, options.data, recipe, device=choose_device(options.device))


def _seconds_after_now(minutes: float | None) -> float:
    return math.inf if minutes is None else time.monotonic() + 60 * minutes


class _Watch:
    """Tells from time to time how a run goes, and saves it."""

    def __init__(self, run: Training, out: Path) -> None:
        self._run, self._out = run, out
        self._started = self._saved = time.monotonic()
        self._told = -math.inf  # the first step is told at once
        self._windows_before = run.progress.windows
        self._losses: list[float] = []

    def __call__(self, progress: Progress, loss: float) -> None:
        """Hear of a step that is done."""
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._told > _TELL_SECONDS:
            self._told = now
            self._tell_of(progress, now - self._started)
            self._losses.clear()
        if now - self._saved > _SAVE_SECONDS:
            self._run.save(self._out)
            self._saved = time.monotonic()

    def _tell_of(self, progress: Progress, seconds: float) -> None:
        recipe = self._run.recipe
        speed = (progress.windows - self._windows_before) / seconds
        _tell(
            f"step {progress.step} of {recipe.steps}, {progress.windows} windows, pass "
            f"{progress.epoch + 1} over {len(progress.renders)} renders, {speed:.0f} windows/s, "
            f"rate {recipe.rate_at(progress.step):.1e}, "
            f"loss {sum(self._losses) / len(self._losses):.4f}"
        )


def _evaluate(options: argparse.Namespace) -> int:
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
    return 0


def _complain(text: str) -> None:
    print(f"sidekeys training: {text}", file=sys.stderr)  # noqa: T201


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
    render.add_argument("--width", type=_count, default=_WIDTH, help="of the network that hears")
    render.add_argument("--takes", type=_count, default=1, help="mixes of every song")
    render.add_argument("--first-take", type=int, default=0, help="number of the first mix")
    render.add_argument("--songs", type=_count, help="only so many of the songs")
    render.add_argument("--processes", type=_count, default=1)
    render.add_argument("--minutes", type=float, help="stop after that long")
    render.set_defaults(run=_render)

    fit = steps.add_parser("fit", help="train, or go on training, on the windows")
    fit.add_argument("data", type=Path, help="folder of the windows")
    fit.add_argument("out", type=Path, help="folder of the run, and of the checkpoint it makes")
    fit.add_argument("--steps", type=_count, required=True, help="batches in all")
    fit.add_argument("--batch-size", type=_count, default=32)
    fit.add_argument("--learning-rate", type=float, default=1e-3)
    fit.add_argument("--decay", type=float, default=0.4, help="share of the steps it falls over")
    fit.add_argument("--width", type=_count, default=_WIDTH, help="d_model, a multiple of 32")
    fit.add_argument("--encoder-layers", type=_count, default=5)
    fit.add_argument("--decoder-layers", type=_count, default=2)
    fit.add_argument("--seed", type=int, default=0)
    fit.add_argument("--start", type=Path, help="checkpoint whose weights a new run starts from")
    fit.add_argument("--device", choices=DEVICES, default="auto")
    fit.add_argument("--processes", type=_count, default=1, help="that share every batch")
    fit.add_argument("--threads", type=_count, default=2, help="of each process")
    fit.add_argument("--minutes", type=float, help="stop after that long; run again to go on")
    fit.set_defaults(run=_fit)

    evaluate = steps.add_parser("evaluate", help="the tables of figures on held-out songs")
    evaluate.add_argument("pop909", type=Path, help="folder of the dataset")
    evaluate.add_argument("out", type=Path, help="folder that gets report.md and report.json")
    evaluate.add_argument("checkpoints", nargs="+", help="folders, or builtin")
    evaluate.add_argument("--split", choices=("validation", "test"), default="test")
    evaluate.add_argument("--windows", type=_count, default=16, help="of each song")
    evaluate.add_argument("--songs", type=_count, help="only so many songs")
    evaluate.add_argument("--threads", type=_count, default=2)
    evaluate.set_defaults(run=_evaluate)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number
