"""What studios, rooms, microphones and codecs do to sound: effects for stems and for whole mixes.

Every effect takes mono audio at 22050 Hz and a generator of random numbers, draws its own settings
and returns as many samples. Onsets stay within 5 ms of where they were: training targets lie on
them. Silence stays silent, and nothing depends on how loud the audio came in.
"""

from __future__ import annotations

import numpy as np

from sidekeys_engine.training.codec import coded
from sidekeys_engine.training.effect_parts import (
    BLOCK,
    FLOOR,
    SAMPLING_RATE,
    Audio,
    Curve,
    Effect,
    Rng,
    bell,
    cut,
    decibels_of,
    delayed,
    filtered,
    gain_of,
    keeping_size,
    log_uniform,
    loudness,
    peaks_of,
    points_of,
    ramped,
    released,
    rms,
    scaled,
    shifted_sum,
    slow_swing,
    smoothed,
)
from sidekeys_engine.training.noises import noisy
from sidekeys_engine.training.rooms import echoed, large_room, small_room


def colour(stem: Audio, rng: Rng) -> Audio:
    """Give one instrument or voice a sound of its own, as its engineer would.

    Args:
        stem: ``(samples,)`` mono at 22050 Hz, of any level.
        rng: decides which effects there are, and how much of each; sometimes none.

    Returns:
        ``(samples,)``, as loud as it came in; its peaks may be higher.
    """
    if not stem.any() or rng.random() < 0.15:
        return np.array(stem, dtype=np.float32)
    coloured = _in_turn(stem, _STEM_EFFECTS, rng)
    return scaled(coloured, loudness(stem) / (loudness(coloured) + FLOOR))


def master(audio: Audio, rng: Rng, beat_seconds: Curve | None = None) -> Audio:
    """Turn a mix into a record, and some records into what a poor player or phone makes of them.

    Args:
        audio: ``(samples,)`` mono at 22050 Hz, of any level.
        rng: decides which effects there are, and how much of each; sometimes none.
        beat_seconds: ``(beats,)`` where the mix may pump as if a bass drum ducked it; without
            them it never does.

    Returns:
        ``(samples,)`` within -1..1. The level is drawn between -32 and -8 dBFS RMS; sparse sound
        with high peaks becomes as loud as limiting these by 6 dB allows.
    """
    if not audio.any():
        return np.array(audio, dtype=np.float32)
    if rng.random() < 0.9:
        if beat_seconds is not None and rng.random() < 0.15:
            audio = pumped(audio, rng, beat_seconds)
        audio = _in_turn(audio, _MIX_EFFECTS, rng)
    # Most records are loud; one in five is as quiet as a phone far from the stage.
    return _levelled(audio, rng.uniform(-32, -20) if rng.random() < 0.2 else rng.uniform(-20, -8))


def _in_turn(audio: Audio, effects: tuple[tuple[Effect, float], ...], rng: Rng) -> Audio:
    """Apply each effect with its probability."""
    for effect, probability in effects:
        if rng.random() < probability:
            audio = effect(audio, rng)
    return audio


def _levelled(audio: Audio, decibels: float) -> Audio:
    """Bring audio to a level in dBFS RMS, as nearly as limiting its peaks by 6 dB allows."""
    gain = gain_of(decibels) / (rms(audio) + FLOOR)
    audio = scaled(audio, min(gain, 2 / (float(np.abs(audio).max()) + FLOOR)))
    return _limited(audio, 150.0) if np.abs(audio).max() > 1 else audio


# --- tone ---


@keeping_size
def equalized(audio: Audio, rng: Rng) -> Audio:
    """High- and low-pass, two shelves and up to three peaks, each there or not."""
    sections = []
    if rng.random() < 0.4:
        sections.append(cut("highpass", log_uniform(rng, 25, 350), int(rng.integers(1, 3))))
    if rng.random() < 0.3:
        sections.append(cut("lowpass", log_uniform(rng, 1800, 10000), int(rng.integers(1, 3))))
    for kind, low, high in (("low", 80, 500), ("high", 1500, 7000)):
        if rng.random() < 0.6:
            sections.append(bell(kind, log_uniform(rng, low, high), rng.normal(0, 5), 0.7))
    for _ in range(rng.integers(0, 4)):
        width = log_uniform(rng, 0.5, 5)
        sections.append(bell("peak", log_uniform(rng, 100, 8000), rng.normal(0, 5), width))
    return filtered(audio, *sections) if sections else audio


@keeping_size
def combed(audio: Audio, rng: Rng) -> Audio:
    """Two channels, or a sound and the wall behind it, a few milliseconds apart, summed to one."""
    depth = rng.uniform(0.2, 0.8) * rng.choice([-1, 1])
    return shifted_sum(audio, [(round(log_uniform(rng, 0.0001, 0.004) * SAMPLING_RATE), depth)])


@keeping_size
def phoned(audio: Audio, rng: Rng) -> Audio:
    """A phone or laptop in a room: a narrow band, resonances, some grit, the room, its noise."""
    audio = small_room(audio, rng)
    band = [
        cut("highpass", log_uniform(rng, 80, 400), int(rng.integers(1, 4))),
        cut("lowpass", log_uniform(rng, 2800, 8000), int(rng.integers(2, 5))),
    ]
    for _ in range(2):
        peak = log_uniform(rng, 500, 5000), rng.uniform(-6, 9), log_uniform(rng, 1, 6)
        band.append(bell("peak", *peak))
    audio = filtered(audio, *band)
    if rng.random() < 0.5:
        audio = np.tanh(scaled(audio, rng.uniform(0.2, 1) / (loudness(audio) + FLOOR)))
    return noisy(audio, rng)


# --- grit ---


@keeping_size
def driven(audio: Audio, rng: Rng) -> Audio:
    """A warm or hot amplifier, lopsided at times; one in five is a fuzz."""
    fuzz = rng.random() < 0.2
    heat = gain_of(rng.uniform(14, 30) if fuzz else rng.uniform(-12, 12))
    bias = np.float32(rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0)
    loud = loudness(audio) + FLOOR
    hot = np.tanh(scaled(audio, heat / loud) + bias) - np.tanh(bias)
    # Lopsided curves make a direct current, which no loudspeaker plays.
    hot = filtered(hot, cut("highpass", 25, 1))
    if fuzz:
        hot = filtered(hot, cut("lowpass", log_uniform(rng, 2000, 7000), 2))
    # A fuzz is as loud between the notes as in them: some of the sound itself keeps the onsets.
    dry = rng.uniform(0.15, 0.5) if fuzz or rng.random() < 0.5 else 0.0
    return scaled(hot, loud * (1 - dry) / (loudness(hot) + FLOOR)) + scaled(audio, dry)


@keeping_size
def decimated(audio: Audio, rng: Rng) -> Audio:
    """A low sampling rate with or without the filter that belongs to it, and few bits at times."""
    hertz = log_uniform(rng, 6000, 16000)
    if rng.random() < 0.7:
        audio = filtered(audio, cut("lowpass", 0.42 * hertz, 4))
    ratio = hertz / SAMPLING_RATE
    held = np.floor(np.floor(np.arange(audio.size) * ratio) / ratio).astype(np.intp)
    audio = audio[held]
    if rng.random() < 0.5:
        step = np.float32(np.abs(audio).max() / 2 ** rng.uniform(5, 10))
        audio = np.round(audio / step) * step
    return audio


# --- movement ---


@keeping_size
def modulated(audio: Audio, rng: Rng) -> Audio:
    """Chorus or flanger: one to three copies whose delay swings, under the sound itself."""
    wet = np.zeros_like(audio)
    for _ in range(rng.integers(1, 4)):
        shortest = log_uniform(rng, 0.0005, 0.02)
        swing = slow_swing(audio.size, log_uniform(rng, 0.1, 3), rng)
        wet += delayed(audio, shortest + rng.uniform(0.0005, 0.003) * (1 + swing))
    amount = rng.uniform(0.2, 0.9) * loudness(audio) / (loudness(wet) + FLOOR)
    return audio + scaled(wet, amount)


@keeping_size
def tremolo(audio: Audio, rng: Rng) -> Audio:
    """Loudness that swings, two to nine times a second."""
    swing = slow_swing(audio.size, log_uniform(rng, 2, 9), rng)
    return audio * ramped(1 - rng.uniform(0.1, 0.6) * (0.5 + 0.5 * swing), audio.size)


@keeping_size
def wobbled(audio: Audio, rng: Rng) -> Audio:
    """Wow and flutter of a tape: its speed varies by up to one percent, its beats by 2.5 ms."""
    shift = np.zeros(points_of(audio.size))
    for low, high, speed, limit in ((0.3, 1.5, 0.008, 0.0022), (4.0, 11.0, 0.004, 0.0003)):
        hertz = log_uniform(rng, low, high)
        depth = min(rng.uniform(0.1, 1) * speed / (2 * np.pi * hertz), limit)
        shift += depth * slow_swing(audio.size, hertz, rng)
    return delayed(audio, shift)


# --- dynamics ---


@keeping_size
def compressed(audio: Audio, rng: Rng) -> Audio:
    """A feed-forward compressor, from gentle to firm; its attack lets the onsets through."""
    level = decibels_of(peaks_of(audio) / (loudness(audio) + FLOOR))
    over = np.maximum(level - rng.uniform(-12, 6), 0)
    reduction = over * (1 - 1 / log_uniform(rng, 1.5, 6))
    reduction = released(reduction, log_uniform(rng, 20, 200))
    attack = log_uniform(rng, 0.004, 0.04)
    return audio * ramped(gain_of(-smoothed(reduction, attack)), audio.size)


@keeping_size
def maximised(audio: Audio, rng: Rng) -> Audio:
    """Louder than the peaks allow: the overshoot is limited, bent or cut off."""
    hot = scaled(audio, gain_of(rng.uniform(-16, -4)) / (loudness(audio) + FLOOR))
    style = rng.integers(0, 3)
    if style == 0:
        return _limited(hot, log_uniform(rng, 40, 400))
    return np.tanh(hot) if style == 1 else hot.clip(-1, 1)


def pumped(audio: Audio, rng: Rng, beat_seconds: Curve) -> Audio:
    """Duck the mix on every beat, as a bass drum on a side chain does.

    The gain falls just after the beat, so that what starts there is heard to start.

    Args:
        audio: ``(samples,)``.
        rng: decides depth and duration.
        beat_seconds: ``(beats,)`` rising.
    """
    if not audio.size or not len(beat_seconds):
        return np.array(audio, dtype=np.float32)
    seconds = (np.arange(points_of(audio.size)) * BLOCK) / SAMPLING_RATE
    last = np.searchsorted(beat_seconds, seconds, side="right") - 1
    since = np.where(last < 0, np.inf, seconds - beat_seconds[last])  # since the beat before
    recovery = rng.uniform(0.08, 0.3)
    fall = np.clip((since - 0.015) / 0.02, 0, 1)
    ducked = fall * np.exp(-np.maximum(since - 0.035, 0) / recovery)
    return audio * ramped(1 - rng.uniform(0.2, 0.7) * ducked, audio.size)


def _limited(audio: Audio, release: float) -> Audio:
    """Audio whose peaks are turned down to 1.0; ``release`` in dB a second."""
    over = np.maximum(decibels_of(peaks_of(audio)), 0)
    limited = audio * ramped(gain_of(-released(over, release)), audio.size)
    return limited.clip(-1, 1)


# The order is that of a studio, then of what happens to a record; with probabilities.
_STEM_EFFECTS: tuple[tuple[Effect, float], ...] = (
    (driven, 0.2),
    (equalized, 0.7),
    (compressed, 0.3),
    (modulated, 0.15),
    (tremolo, 0.07),
    (echoed, 0.12),
    (small_room, 0.3),
    (large_room, 0.12),
)
_MIX_EFFECTS: tuple[tuple[Effect, float], ...] = (
    (large_room, 0.3),
    (small_room, 0.15),
    (equalized, 0.5),
    (compressed, 0.4),
    (maximised, 0.5),
    (wobbled, 0.12),
    (combed, 0.15),
    (noisy, 0.25),
    (phoned, 0.08),
    (decimated, 0.05),
    (coded, 0.4),
)
