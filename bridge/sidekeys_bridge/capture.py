"""Whatever input the user chose, as one mono history at one rate, on the monotonic clock."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from sidekeys_bridge.audio_block import AudioInput, Block
from sidekeys_bridge.audio_input import Channel, as_channels, open_input, split_choice
from sidekeys_bridge.file_input import FileInput
from sidekeys_bridge.frame_clock import FrameClock
from sidekeys_bridge.input_keeper import InputKeeper
from sidekeys_bridge.level_meter import LevelMeter
from sidekeys_bridge.ring_buffer import RingBuffer

Float32 = NDArray[np.float32]

_GAP_SECONDS = 0.02  # so much more time than frames, for good, is lost sound
_JUDGED_SECONDS = 0.25  # late blocks that catch up within this were only late
_FILLED_SECONDS = 0.5  # as much lost sound becomes silence; after more, another epoch begins
_BACKLOG_SECONDS = 10.0  # what waits for a poll; when more does, the polling thread hangs
_LOUDEST = 1e3  # full scale is 1.0; what is above comes from a broken driver or a bad packet


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What the user sees of the input.

    Attributes:
        choice: what was asked for.
        channels: as they are chosen: such as 3, 3-4 or all.
        name: what was found; empty until then.
        rate: of the input itself, frames a second; 0 until sound has come.
        connected: sound is coming.
        ended: the file has been played to its end.
        level_db: root mean square, dBFS.
        peak_db: held peak, dBFS.
        clipped: full scale was reached just now.
        silent_seconds: since anything was above the gate.
        overflows: how often sound was lost.
        problem: what is wrong, in words with a way out; None if nothing is.
    """

    choice: str
    channels: str
    name: str
    rate: int
    connected: bool
    ended: bool
    level_db: float
    peak_db: float
    clipped: bool
    silent_seconds: float
    overflows: int
    problem: str | None


class Capture:
    """Listens to an input and remembers what it heard.

    Blocks come from any thread; all methods are for one thread. ``epoch`` counts unbroken
    stretches: a new one begins where the time line of the sound broke, because a device went and
    came back, another input was chosen, the rate changed, or frames were lost. Sound from before
    the epoch is not continued into it.

    Args:
        choice: see :func:`sidekeys_bridge.audio_input.open_input`.
        rate: of the history, frames a second.
        history_seconds: how much is remembered.
        channel: one channel, from 1 on, or a pair; None is the mean of all (of a device: of the
            first two).
        gate_db: below this peak the input counts as silent, dBFS.
        start_seconds: when a file begins to play, monotonic; None is at once.
        open_input: opens the choice; for sources of other kinds.

    Attributes:
        choice: what was asked for.
        channel: as chosen.
        epoch: counts unbroken stretches.
        epoch_first_frame: number of the first frame of the present one.

    Raises:
        InputError: a choice that can never work: nothing named, or a file that cannot be played.
            A device that is missing is no error: it is waited for, and the state says so.
    """

    def __init__(
        self,
        choice: str,
        *,
        rate: int,
        history_seconds: float = 40.0,
        channel: Channel = None,
        gate_db: float = -60.0,
        start_seconds: float | None = None,
        open_input: Callable[..., AudioInput] = open_input,
    ) -> None:
        self.rate = rate
        self.epoch = 0
        self.epoch_first_frame = 0
        self.channel = channel
        self._open_input = open_input
        self._ring = RingBuffer(round(history_seconds * rate))
        self._meter = LevelMeter(gate_db)
        self._overflows = 0
        # Blocks that wait for a poll, each with the number of the input it came from.
        self._waiting: deque[tuple[int, Block]] = deque()
        self._waiting_seconds = 0.0
        self._waiting_lock = threading.Lock()
        # Of the epoch:
        self._source = 0
        self._input_rate = 0
        self._input_frames = 0
        self._clock = FrameClock(rate)
        self._resampler: soxr.ResampleStream | None = None
        # (frames, channels) each; still to be written. A sender may change how many channels.
        self._accepted: list[Float32] = []
        self._held: list[Block] = []
        self.choice = choice
        self.check(choice)
        self._keeper = InputKeeper(self._opener(choice, start_seconds), self._take)

    @property
    def frames(self) -> int:
        """Frames captured so far: the number of the next one."""
        return self._ring.end

    @property
    def first_kept_frame(self) -> int:
        """The oldest frame that ``audio`` still has."""
        return max(self._ring.start, self.epoch_first_frame)

    def poll(self, now_seconds: float) -> None:
        """Take in what has come since the last poll."""
        with self._waiting_lock:
            arrived, self._waiting = self._waiting, deque()
            self._waiting_seconds = 0.0
        for source, block in arrived:
            if source != self._source or block.rate != self._input_rate:
                self._begin_epoch(block.rate, now_seconds)
                self._source = source
            self._judge(block, now_seconds)
        self._write(now_seconds)

    def seconds_at(self, frame: float) -> float:
        """When a frame was, or will be, at the input; monotonic seconds, by the epoch's clock."""
        if not self._clock.started:
            raise ValueError("no sound has come yet, so frames have no times")
        scale = self._input_rate / self.rate
        return self._clock.seconds_at((frame - self.epoch_first_frame) * scale)

    def frame_at(self, seconds: float) -> float:
        """Which frame is at the input at ``seconds``; the inverse of ``seconds_at``."""
        if not self._clock.started:
            raise ValueError("no sound has come yet, so frames have no times")
        scale = self.rate / self._input_rate
        return self.epoch_first_frame + self._clock.frame_at(seconds) * scale

    def audio(self, first_frame: int, count: int) -> Float32:
        """Copy what was heard.

        Returns:
            (count,) float32; zeros before the epoch's start.

        Raises:
            ValueError: frames not captured yet, or no longer kept.
        """
        begin = min(max(first_frame, self.epoch_first_frame), first_frame + count)
        heard = self._ring.read(begin, first_frame + count - begin) if begin < self.frames else None
        if heard is None:
            if first_frame + count > max(self.frames, self.epoch_first_frame):
                raise ValueError(f"frame {first_frame + count} is not captured yet")
            return np.zeros(count, dtype=np.float32)
        return np.concatenate((np.zeros(begin - first_frame, dtype=np.float32), heard))

    def state(self, now_seconds: float) -> CaptureState:
        """What to show at ``now_seconds``."""
        levels = self._meter.levels(now_seconds)
        problem = self._keeper.problem(now_seconds)
        heard = self._source == self._keeper.source != 0
        return CaptureState(
            choice=self.choice,
            channels=_channels_text(self.channel),
            name=self._keeper.name,
            rate=self._input_rate if heard else 0,
            connected=heard and problem is None,
            ended=self._keeper.ended,
            level_db=levels.level_db,
            peak_db=levels.peak_db,
            clipped=levels.clipped,
            silent_seconds=levels.silent_seconds,
            overflows=self._overflows,
            problem=problem,
        )

    @staticmethod
    def check(choice: str) -> None:
        """Refuse a choice that can never work.

        Raises:
            InputError: as on opening.
        """
        kind, rest = split_choice(choice)
        if kind == "file":
            FileInput(rest).close()

    def retune(
        self, choice: str, *, channel: Channel = None, start_seconds: float | None = None
    ) -> None:
        """Listen to another input, or to other channels, from now on.

        Raises:
            InputError: as on opening; the present input then goes on.
        """
        self.check(choice)
        self.choice = choice
        self.channel = channel
        self._keeper.choose(self._opener(choice, start_seconds))

    def close(self) -> None:
        """Let go of the input; safe to call twice. What was heard can still be read."""
        self._keeper.close()
        with self._waiting_lock:
            self._waiting.clear()
        self._resampler = None  # soxr complains of streams that live until the program's end

    def _opener(self, choice: str, start_seconds: float | None) -> Callable[[], AudioInput]:
        channel = self.channel
        return lambda: self._open_input(choice, channel=channel, start_seconds=start_seconds)

    def _take(self, source: int, block: Block) -> None:
        """Called by the input, in its thread."""
        with self._waiting_lock:
            if self._waiting_seconds > _BACKLOG_SECONDS:
                return  # the gap is found when polling goes on
            self._waiting.append((source, block))
            self._waiting_seconds += len(block.samples) / block.rate

    def _begin_epoch(self, input_rate: int, now_seconds: float) -> None:
        self._write(now_seconds)
        self.epoch += 1
        self.epoch_first_frame = self._ring.end
        self._input_rate = input_rate
        self._input_frames = 0
        self._clock = FrameClock(input_rate)
        self._resampler = None
        if input_rate != self.rate:
            self._resampler = soxr.ResampleStream(
                input_rate, self.rate, 1, dtype="float32", quality="HQ"
            )
        self._held = []

    def _judge(self, block: Block, now_seconds: float) -> None:
        """Accept a block, or hold it until it is known whether sound is missing before it.

        A block that is late against the frames before it may only be late. If frames are missing,
        the ones that follow are as late.
        """
        if block.overflowed:
            self._overflows += 1
        self._held.append(block)
        late_seconds = self._late_seconds()
        if late_seconds[-1] > _GAP_SECONDS:
            if sum(len(held.samples) for held in self._held) < _JUDGED_SECONDS * block.rate:
                return
            if not any(held.overflowed for held in self._held):
                self._overflows += 1
            lost_seconds = min(late_seconds)
            if lost_seconds <= _FILLED_SECONDS:
                self._fill(lost_seconds)
            else:
                held = self._held
                self._begin_epoch(block.rate, now_seconds)
                self._held = held
        for held_block in self._held:
            self._accept(held_block)
        self._held = []

    def _late_seconds(self) -> list[float]:
        """How late each block that is held came, against the frames before it."""
        frame, late = self._input_frames, []
        for block in self._held:
            due_seconds = self._clock.seconds_at(frame) if self._clock.started else math.inf
            late.append(block.first_frame_seconds - due_seconds)
            frame += len(block.samples)
        return late

    def _fill(self, lost_seconds: float) -> None:
        """Put silence where a little sound was lost: the music around it is still worth hearing."""
        frames = round(lost_seconds * self._input_rate)
        self._input_frames += frames
        self._accepted.append(np.zeros((frames, 1), dtype=np.float32))

    def _accept(self, block: Block) -> None:
        self._clock.add(self._input_frames, block.first_frame_seconds)
        self._input_frames += len(block.samples)
        self._accepted.append(_sane(as_channels(block.samples, self.channel)))

    def _write(self, now_seconds: float) -> None:
        """Move what was accepted into the history."""
        accepted, self._accepted = self._accepted, []
        if not accepted:
            return
        for samples in accepted:
            self._meter.add(samples, self._input_rate, now_seconds)
        mono: Float32 = np.concatenate([_mixed(samples) for samples in accepted])
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(mono)
        self._ring.write(mono)


def _channels_text(channel: Channel) -> str:
    """As a user writes them."""
    if channel is None:
        return "all"
    return str(channel) if isinstance(channel, int) else "-".join(map(str, channel))


def _sane(samples: Float32) -> Float32:
    """Silence where a sample is no number, or beyond all sound: one would stay in filters."""
    if samples.size == 0 or max(samples.max(), -samples.min()) <= _LOUDEST:  # not so with NaN
        return samples
    return np.where(np.abs(samples) <= _LOUDEST, samples, np.float32(0))


def _mixed(samples: Float32) -> Float32:
    """(frames, channels) -> (frames,): the mean, as the offline path takes it."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    if samples.shape[1] == 2:  # the same, and faster than a mean over so short an axis
        return np.asarray((samples[:, 0] + samples[:, 1]) / np.float32(2), dtype=np.float32)
    mixed: Float32 = samples.mean(axis=1)
    return mixed
