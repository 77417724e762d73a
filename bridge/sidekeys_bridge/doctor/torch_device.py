"""PyTorch, and what it computes on. It is loaded in a process of its own: it is large."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from sidekeys_bridge.doctor.asking import NoAnswerError, answer_of, json_of
from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine

_SUBJECT = "PyTorch"
_WITHIN_SECONDS = 8.0
_PROGRAM = """
import json
try:
    import torch
except Exception as error:
    print(json.dumps({"problem": f"{type(error).__name__}: {error}".splitlines()[0]}))
else:
    cuda = torch.cuda.is_available()
    print(json.dumps({
        "version": torch.__version__,
        "built_for_cuda": torch.version.cuda,
        "cuda": torch.cuda.get_device_name() if cuda else None,
        "mps": torch.backends.mps.is_available(),
        "threads": torch.get_num_threads(),
    }))
"""


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What PyTorch says.

    Attributes:
        version: of PyTorch; "" if it cannot be used.
        problem: why it cannot be used, or "".
        is_late: it took too long to load.
        cuda: name of the NVIDIA card that it computes on, or None.
        built_for_cuda: the CUDA that this PyTorch was built for, or None.
        mps: whether it computes on an Apple chip's graphics.
        threads: of the processor.
        nvidia: an NVIDIA card that the system has, whatever PyTorch says, or None.
    """

    version: str = ""
    problem: str = ""
    is_late: bool = False
    cuda: str | None = None
    built_for_cuda: str | None = None
    mps: bool = False
    threads: int = 1
    nvidia: str | None = None


def probe() -> TorchFacts:
    """Load it, and ask."""
    nvidia = _nvidia_card()
    try:
        return TorchFacts(
            **json_of(["-c", _PROGRAM], within_seconds=_WITHIN_SECONDS), nvidia=nvidia
        )
    except NoAnswerError as why:
        return TorchFacts(problem=str(why), is_late="within" in str(why), nvidia=nvidia)


def _nvidia_card() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        names = answer_of([program, "--query-gpu=name", "--format=csv,noheader"]).splitlines()
    except NoAnswerError:
        return None
    return names[0].strip() if names else None


def check(facts: TorchFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    if facts.is_late:
        return [
            warning(
                _SUBJECT, f"it took longer than {_WITHIN_SECONDS:g} s to load",
                "try again: the first time after an installation, or on a busy machine, is slow",
            )
        ]  # fmt: skip
    if not facts.version:
        return [
            missing(
                _SUBJECT, f"it cannot be loaded: {facts.problem}",
                machine.pip("--force-reinstall torch"),
            )
        ]  # fmt: skip
    if facts.cuda is not None:
        return [well(_SUBJECT, f"{facts.version} on {facts.cuda}")]
    if facts.mps:
        return [well(_SUBJECT, f"{facts.version} on the graphics of this Apple chip")]
    processor = f"{facts.version} on the processor, {facts.threads} threads"
    if facts.nvidia is None:
        return [well(_SUBJECT, processor)]
    words = f"{processor}, and not on the {facts.nvidia}"
    if facts.built_for_cuda is None:
        mend = "type the line that pytorch.org/get-started shows for your system and CUDA"
    else:
        mend = f"update the NVIDIA driver: PyTorch wants one for CUDA {facts.built_for_cuda}"
    return [warning(_SUBJECT, words, mend)]
