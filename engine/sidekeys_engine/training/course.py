"""What a run of fine-tuning is to do, written down so that it can be stopped and gone on with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from sidekeys_engine.atomic_file import shown_path
from sidekeys_engine.checkpoint import read_json, write_json
from sidekeys_engine.errors import InputError
from sidekeys_engine.training.train import Recipe

BATCH_SIZE = 16

_COURSE_FILE = "course.json"


@dataclass(frozen=True)
class Course:
    """What a run does, kept in its work folder until the end.

    Attributes:
        composer: the new one.
        description: a line on how it plays.
        checkpoint: name of the one that it joins.
        folder: of the pairs.
        pairs: their names.
        seed: decides all that is drawn.
        steps: batches in all.
        windows: that teach.
        held_back: windows that do not.
        loss_before: of the new composer on those, before anything was learned.
        onset_f1_before: likewise.
        learning_rate: the highest one.
        new_share: of the windows are learned for the new composer, the rest for those there are.
    """

    composer: str
    description: str
    checkpoint: str
    folder: str
    pairs: tuple[str, ...]
    seed: int
    steps: int
    windows: int
    held_back: int
    loss_before: float
    onset_f1_before: float
    learning_rate: float = 2e-4
    new_share: float = 0.5

    @classmethod
    def read(cls, work: Path) -> Course | None:
        """The course of a work folder; None where there is none.

        Raises:
            InputError: its file cannot be read.
        """
        path = work / _COURSE_FILE
        if not path.exists():
            return None
        try:
            settings = read_json(path)
            return cls(**{**settings, "pairs": tuple(settings["pairs"])})
        except (InputError, TypeError, KeyError) as error:
            raise InputError(
                f"{shown_path(path)} cannot be read; delete the folder and start again."
            ) from error

    def save(self, work: Path) -> None:
        """Write it into a work folder, whole or not at all."""
        write_json(work / _COURSE_FILE, asdict(self))

    def recipe(self, device: str, composers: int) -> Recipe:
        """How the course is learned by a model of so many composers, the new one among them."""
        kept = (1 - self.new_share) / (composers - 1)
        return Recipe(
            steps=self.steps,
            batch_size=BATCH_SIZE,
            learning_rate=self.learning_rate,
            warmup=min(50, 1 + self.steps // 10),
            decay=0.5,
            average=0.98,
            shares=(*[kept] * (composers - 1), self.new_share),
            seed=self.seed,
            half_precision=device.startswith("cuda"),
        )
