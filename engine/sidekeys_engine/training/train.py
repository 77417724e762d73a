"""Training: batches in, a network and its running average out; stops and goes on at any step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from sidekeys_engine.atomic_file import atomic_output
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.training.augmentation import augmented
from sidekeys_engine.training.dataset import IGNORED_LABEL, Batch, Dataset, renders_in
from sidekeys_engine.training.parallel import agreed, processes, rank, summed

STATE_FILE = "training_state.pt"
_LARGEST_NORM = 1.0
_BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    The learning rate rises over ``warmup`` steps, stays, and falls in a straight line to nothing
    over the last ``decay`` share of the steps: so a run can go on for longer than was planned
    until its fall begins.

    Attributes:
        steps: batches in all.
        batch_size: windows in a batch.
        learning_rate: the highest one.
        warmup: steps until it is reached.
        decay: share of the steps, at the end, over which it falls.
        weight_decay: of the matrices.
        average: how much of the running average of the weights a step keeps, once there are many.
        shares: how often each composer is drawn; alike by default.
        seed: decides all that is drawn.
        half_precision: compute in bfloat16 where that is precise enough.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup: int = 250
    decay: float = 0.4
    weight_decay: float = 0.01
    average: float = 0.999
    shares: tuple[float, ...] = ()
    seed: int = 0
    half_precision: bool = True

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / max(1, self.warmup))
        falling = min(1.0, (self.steps - step) / max(1.0, self.decay * self.steps))
        return self.learning_rate * rising * falling


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        step: batches done.
        windows: windows seen.
        epoch: passes over the dataset begun.
        position: batches done of the present one.
        renders: what the present pass is over.
    """

    step: int = 0
    windows: int = 0
    epoch: int = 0
    position: int = 0
    renders: list[str] = field(default_factory=list)


class Training:
    """A run: the network, its running average, the optimizer, and where it is.

    Args:
        network: as it starts.
        data: the folder of renders; those that are added while it runs join at the next pass.
        recipe: how.
        device: where it computes.
    """

    def __init__(
        self,
        network: Pop2PianoNetwork,
        data: Path,
        recipe: Recipe,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.to(device).train()
        self.data, self.recipe = data, recipe
        self.device = torch.device(device)
        self.progress = Progress()
        self._weights: list[Tensor] = list(network.parameters())
        self._average = [weight.detach().clone() for weight in self._weights]
        # What scales and what is looked up does not decay.
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, weight in network.named_parameters():
            (matrices if weight.ndim == 2 and ".block." in name else others).append(weight)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=_BETAS,
            fused=True,
        )

    def run(
        self,
        *,
        on_step: Callable[[Progress, float], None] | None = None,
        until_seconds: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Train to the last step, or until time is up.

        Args:
            on_step: gets the progress and the step's loss.
            until_seconds: the reading of ``now`` at which to stop.
            now: the clock.

        Returns:
            Whether the last step is done.
        """
        for batch in self._batches():
            is_late = until_seconds is not None and now() >= until_seconds
            loss, is_time_up = self._step(batch, is_late)
            if on_step is not None:
                on_step(self.progress, loss)
            if is_time_up:
                break
        return self.progress.step >= self.recipe.steps

    def _batches(self) -> Iterator[Batch]:
        """Batches from where the run is to its end; the progress moves with them."""
        progress, recipe = self.progress, self.recipe
        while progress.step < recipe.steps:
            if not progress.renders:
                progress.renders = agreed(lambda: renders_in(self.data))
            dataset = Dataset(self.data, progress.renders)
            shares = np.array(recipe.shares or (1.0,) * dataset.composers)
            rng = np.random.default_rng([recipe.seed, progress.epoch])
            plan = dataset.epoch(recipe.batch_size, shares, rng)
            for windows, composers in plan[progress.position :]:
                if progress.step >= recipe.steps:
                    return
                mine = slice(rank(), None, processes())
                batch = dataset.batch(windows, composers, mine).to(self.device)
                progress.position += 1
                progress.windows += len(windows)
                yield batch
            progress.epoch += 1
            progress.position = 0
            progress.renders = []

    def _step(self, batch: Batch, is_late: bool) -> tuple[float, bool]:
        """One step of gradient descent; the batch's loss, and whether any process is late."""
        recipe, step = self.recipe, self.progress.step
        # A stream of its own for every step: going on needs no generator's state.
        generator = torch.Generator(self.device).manual_seed(
            (recipe.seed * 1_000_003 + step) * processes() + rank()
        )
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.rate_at(step)
        features = augmented(batch.features, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.half_precision):
            logits = logits_of(self.network, batch, features)
        loss = F.cross_entropy(
            logits.float().flatten(0, 1),
            batch.labels.flatten(),
            ignore_index=IGNORED_LABEL,
            reduction="sum",
        )
        torch.autograd.backward(loss)
        total = loss.detach()
        tokens = (batch.labels != IGNORED_LABEL).sum().to(total)
        late = torch.tensor(float(is_late)).to(total)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        summed([*gradients, total, tokens, late])
        torch._foreach_div_(gradients, tokens)
        torch.nn.utils.clip_grad_norm_(self._weights, _LARGEST_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        kept = min(recipe.average, 1 - 1 / (step / 10 + 2))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._weights, 1 - kept)
        self.progress.step += 1
        return float(total / tokens), bool(late)

    def averaged(self) -> Pop2PianoNetwork:
        """A copy of the network with the running average for weights; the better one to play."""
        network = Pop2PianoNetwork(self.network.config).to(self.device)
        network.load_state_dict(self.network.state_dict())
        with torch.no_grad():
            for weight, average in zip(network.parameters(), self._average, strict=True):
                weight.copy_(average)
        return network.eval()

    def save(self, folder: Path) -> None:
        """Write all that `resume` needs into a folder, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self.network.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "progress": json.dumps(asdict(self.progress)),
        }
        with atomic_output(folder / STATE_FILE) as temporary:
            torch.save(state, temporary)

    def resume(self, folder: Path) -> bool:
        """Go on where a run saved its state; False where there is none.

        Raises:
            InputError: the state is another network's.
        """
        path = folder / STATE_FILE
        if not path.exists():
            return False
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        mine = {name: weight.shape for name, weight in self.network.state_dict().items()}
        if mine != {name: weight.shape for name, weight in state["network"].items()}:
            raise InputError(
                f"{path} is of a network of another size; go on with the sizes that the run began "
                "with, or give a new folder."
            )
        self.network.load_state_dict(state["network"])
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**json.loads(state["progress"]))
        return True


def logits_of(network: Pop2PianoNetwork, batch: Batch, features: Tensor) -> Tensor:
    """Scores of every next token, teacher forced, (rows, tokens, vocabulary)."""
    embeds = network.mel_conditioner(features, batch.composers)
    steps = F.pad(batch.frame_steps, (1, 0), value=-1)
    inputs = network.prepare_decoder_input_ids_from_labels(batch.labels)
    output = network(
        inputs_embeds=embeds, frame_steps=steps, decoder_input_ids=inputs, use_cache=False
    )
    scores: Tensor = output.logits
    return scores


@torch.no_grad()
def loss_of(network: Pop2PianoNetwork, batches: Iterator[Batch], composers: int) -> list[float]:
    """Mean loss a token of each composer, over batches without augmentation.

    Args:
        network: computes in bfloat16 where that is precise enough.
        batches: of any composers.
        composers: how many there are; one without a batch gets 0.
    """
    device = network.device
    total = torch.zeros(composers, dtype=torch.float64)
    count = torch.zeros(composers, dtype=torch.float64)
    for batch in batches:
        moved = batch.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            logits = logits_of(network, moved, moved.features)
        losses = F.cross_entropy(
            logits.float().transpose(1, 2),
            moved.labels,
            ignore_index=IGNORED_LABEL,
            reduction="none",
        )
        total.index_add_(0, batch.composers, losses.sum(1).double().cpu())
        count.index_add_(0, batch.composers, (batch.labels != IGNORED_LABEL).sum(1).double())
    return (total / count.clamp(min=1)).tolist()
