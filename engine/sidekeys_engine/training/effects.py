"""What studios, rooms, microphones and codecs do to sound: effects for stems and for whole mixes.

Every effect takes mono audio at 22050 Hz and a generator of random numbers, draws its own settings
and returns as many samples. Onsets stay within 5 ms of where they were: training targets lie on
them. Silence stays silent, and nothing depends on how loud the audio came in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import overload

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Rng = np.random.Generator
Effect = Callable[[Audio, Rng], Audio]

SAMPLING_RATE = 22_050

_BLOCK = 64  # samples (2.9 ms) that share one point of a gain or delay curve
_LOUDNESS_BLOCK = 4096
_NOISE_LOOP = 1 << 18  # samples (11.9 s) of noise that repeat without a seam
_FLOOR = 1e-9  # below all sound, above trouble with zeros and logarithms


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
    return _times(coloured, loudness(stem) / (loudness(coloured) + _FLOOR))


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


def loudness(audio: Audio) -> float:
    """RMS where the energy is: the pauses of a stem say nothing about how loud it is played."""
    if not audio.any():
        return 0.0
    starts = np.arange(0, audio.size, _LOUDNESS_BLOCK)
    energy = np.add.reduceat(np.square(audio, dtype=np.float32), starts).astype(np.float64)
    power = energy / np.diff(starts, append=audio.size)
    return float(np.sqrt(np.sum(energy * power) / (np.sum(energy) + _FLOOR**2)))


def _in_turn(audio: Audio, effects: tuple[tuple[Effect, float], ...], rng: Rng) -> Audio:
    """Apply each effect with its probability."""
    for effect, probability in effects:
        if rng.random() < probability:
            audio = effect(audio, rng)
    return audio


def _levelled(audio: Audio, decibels: float) -> Audio:
    """Bring audio to a level in dBFS RMS, as nearly as limiting its peaks by 6 dB allows."""
    gain = _gain(decibels) / (_rms(audio) + _FLOOR)
    audio = _times(audio, min(gain, 2 / (float(np.abs(audio).max()) + _FLOOR)))
    return _limited(audio, 150.0) if np.abs(audio).max() > 1 else audio


def _keeping_size(effect: Effect) -> Effect:
    """What all effects share: no sound in, no sound out; float32; as many samples as before."""

    @functools.wraps(effect)
    def applied(audio: Audio, rng: Rng) -> Audio:
        if not audio.any():
            return np.array(audio, dtype=np.float32)
        changed = effect(np.asarray(audio, dtype=np.float32), rng)
        return np.asarray(changed[: audio.size], dtype=np.float32)

    return applied


# --- tone ---


@_keeping_size
def equalized(audio: Audio, rng: Rng) -> Audio:
    """High- and low-pass, two shelves and up to three peaks, each there or not."""
    sections = []
    if rng.random() < 0.4:
        sections.append(_cut("highpass", _log_uniform(rng, 25, 350), int(rng.integers(1, 3))))
    if rng.random() < 0.3:
        sections.append(_cut("lowpass", _log_uniform(rng, 1800, 10000), int(rng.integers(1, 3))))
    for kind, low, high in (("low", 80, 500), ("high", 1500, 7000)):
        if rng.random() < 0.6:
            sections.append(_bell(kind, _log_uniform(rng, low, high), rng.normal(0, 5), 0.7))
    for _ in range(rng.integers(0, 4)):
        width = _log_uniform(rng, 0.5, 5)
        sections.append(_bell("peak", _log_uniform(rng, 100, 8000), rng.normal(0, 5), width))
    return _filtered(audio, *sections) if sections else audio


@_keeping_size
def combed(audio: Audio, rng: Rng) -> Audio:
    """Two channels, or a sound and the wall behind it, a few milliseconds apart, summed to one."""
    depth = rng.uniform(0.2, 0.8) * rng.choice([-1, 1])
    return _shifted_sum(audio, [(round(_log_uniform(rng, 0.0001, 0.004) * SAMPLING_RATE), depth)])


@_keeping_size
def phoned(audio: Audio, rng: Rng) -> Audio:
    """A phone or laptop in a room: a narrow band, resonances, some grit, the room, its noise."""
    audio = small_room(audio, rng)
    band = [
        _cut("highpass", _log_uniform(rng, 80, 400), int(rng.integers(1, 4))),
        _cut("lowpass", _log_uniform(rng, 2800, 8000), int(rng.integers(2, 5))),
    ]
    for _ in range(2):
        peak = _log_uniform(rng, 500, 5000), rng.uniform(-6, 9), _log_uniform(rng, 1, 6)
        band.append(_bell("peak", *peak))
    audio = _filtered(audio, *band)
    if rng.random() < 0.5:
        audio = np.tanh(_times(audio, rng.uniform(0.2, 1) / (loudness(audio) + _FLOOR)))
    return noisy(audio, rng)


# --- grit ---


@_keeping_size
def driven(audio: Audio, rng: Rng) -> Audio:
    """A warm or hot amplifier, lopsided at times; one in five is a fuzz."""
    fuzz = rng.random() < 0.2
    heat = _gain(rng.uniform(14, 30) if fuzz else rng.uniform(-12, 12))
    bias = np.float32(rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0)
    loud = loudness(audio) + _FLOOR
    hot = np.tanh(_times(audio, heat / loud) + bias) - np.tanh(bias)
    # Lopsided curves make a direct current, which no loudspeaker plays.
    hot = _filtered(hot, _cut("highpass", 25, 1))
    if fuzz:
        hot = _filtered(hot, _cut("lowpass", _log_uniform(rng, 2000, 7000), 2))
    # A fuzz is as loud between the notes as in them: some of the sound itself keeps the onsets.
    dry = rng.uniform(0.15, 0.5) if fuzz or rng.random() < 0.5 else 0.0
    return _times(hot, loud * (1 - dry) / (loudness(hot) + _FLOOR)) + _times(audio, dry)


@_keeping_size
def decimated(audio: Audio, rng: Rng) -> Audio:
    """A low sampling rate with or without the filter that belongs to it, and few bits at times."""
    hertz = _log_uniform(rng, 6000, 16000)
    if rng.random() < 0.7:
        audio = _filtered(audio, _cut("lowpass", 0.42 * hertz, 4))
    ratio = hertz / SAMPLING_RATE
    held = np.floor(np.floor(np.arange(audio.size) * ratio) / ratio).astype(np.intp)
    audio = audio[held]
    if rng.random() < 0.5:
        step = np.float32(np.abs(audio).max() / 2 ** rng.uniform(5, 10))
        audio = np.round(audio / step) * step
    return audio


# --- movement ---


@_keeping_size
def modulated(audio: Audio, rng: Rng) -> Audio:
    """Chorus or flanger: one to three copies whose delay swings, under the sound itself."""
    wet = np.zeros_like(audio)
    for _ in range(rng.integers(1, 4)):
        shortest = _log_uniform(rng, 0.0005, 0.02)
        swing = _swing(audio.size, _log_uniform(rng, 0.1, 3), rng)
        wet += _delayed(audio, shortest + rng.uniform(0.0005, 0.003) * (1 + swing))
    amount = rng.uniform(0.2, 0.9) * loudness(audio) / (loudness(wet) + _FLOOR)
    return audio + _times(wet, amount)


@_keeping_size
def tremolo(audio: Audio, rng: Rng) -> Audio:
    """Loudness that swings, two to nine times a second."""
    swing = _swing(audio.size, _log_uniform(rng, 2, 9), rng)
    return audio * _ramped(1 - rng.uniform(0.1, 0.6) * (0.5 + 0.5 * swing), audio.size)


@_keeping_size
def wobbled(audio: Audio, rng: Rng) -> Audio:
    """Wow and flutter of a tape: its speed varies by up to one percent, its beats by 2.5 ms."""
    shift = np.zeros(_points(audio.size))
    for low, high, speed, limit in ((0.3, 1.5, 0.008, 0.0022), (4.0, 11.0, 0.004, 0.0003)):
        hertz = _log_uniform(rng, low, high)
        depth = min(rng.uniform(0.1, 1) * speed / (2 * np.pi * hertz), limit)
        shift += depth * _swing(audio.size, hertz, rng)
    return _delayed(audio, shift)


# --- dynamics ---


@_keeping_size
def compressed(audio: Audio, rng: Rng) -> Audio:
    """A feed-forward compressor, from gentle to firm; its attack lets the onsets through."""
    level = _decibels(_peaks(audio) / (loudness(audio) + _FLOOR))
    over = np.maximum(level - rng.uniform(-12, 6), 0)
    reduction = over * (1 - 1 / _log_uniform(rng, 1.5, 6))
    reduction = _released(reduction, _log_uniform(rng, 20, 200))
    attack = _log_uniform(rng, 0.004, 0.04)
    return audio * _ramped(_gain(-_smoothed(reduction, attack)), audio.size)


@_keeping_size
def maximised(audio: Audio, rng: Rng) -> Audio:
    """Louder than the peaks allow: the overshoot is limited, bent or cut off."""
    hot = _times(audio, _gain(rng.uniform(-16, -4)) / (loudness(audio) + _FLOOR))
    style = rng.integers(0, 3)
    if style == 0:
        return _limited(hot, _log_uniform(rng, 40, 400))
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
    seconds = (np.arange(_points(audio.size)) * _BLOCK) / SAMPLING_RATE
    last = np.searchsorted(beat_seconds, seconds, side="right") - 1
    since = np.where(last < 0, np.inf, seconds - beat_seconds[last])  # since the beat before
    recovery = rng.uniform(0.08, 0.3)
    fall = np.clip((since - 0.015) / 0.02, 0, 1)
    ducked = fall * np.exp(-np.maximum(since - 0.035, 0) / recovery)
    return audio * _ramped(1 - rng.uniform(0.2, 0.7) * ducked, audio.size)


def _limited(audio: Audio, release: float) -> Audio:
    """Audio whose peaks are turned down to 1.0; ``release`` in dB a second."""
    over = np.maximum(_decibels(_peaks(audio)), 0)
    limited = audio * _ramped(_gain(-_released(over, release)), audio.size)
    return limited.clip(-1, 1)


# --- space ---


@_keeping_size
def echoed(audio: Audio, rng: Rng) -> Audio:
    """A slap or up to four echoes, duller than the sound itself."""
    delay = round(_log_uniform(rng, 0.05, 0.45) * SAMPLING_RATE)
    first, feedback = _gain(rng.uniform(-20, -7)), rng.uniform(0.1, 0.6)
    echoes = [(delay * n, first * feedback ** (n - 1)) for n in range(1, rng.integers(2, 6))]
    dull = _filtered(audio, _cut("lowpass", _log_uniform(rng, 1500, 9000), 1))
    return audio + _shifted_sum(dull, echoes) - dull


@_keeping_size
def small_room(audio: Audio, rng: Rng) -> Audio:
    """A booth, a bedroom or a studio: reverberation of 0.1 to 0.6 seconds."""
    return _reverberated(audio, rng, _log_uniform(rng, 0.1, 0.6), rng.uniform(-22, -4))


@_keeping_size
def large_room(audio: Audio, rng: Rng) -> Audio:
    """A club, a plate or a hall: reverberation of 0.5 to 3.5 seconds."""
    return _reverberated(audio, rng, _log_uniform(rng, 0.5, 3.5), rng.uniform(-24, -5))


def _reverberated(audio: Audio, rng: Rng, seconds: float, wet: float) -> Audio:
    """Audio and its reverberation, ``wet`` in dB against the sound itself."""
    import scipy.signal  # noqa: PLC0415

    sound = scipy.signal.oaconvolve(audio, _room_response(rng, seconds))[: audio.size]
    return audio + _times(sound, _gain(wet))


def _room_response(rng: Rng, seconds: float) -> Audio:
    """What a room answers to a click, without the click itself; energy 1.

    Early reflections, then noise that dies by 60 dB in ``seconds``, high tones sooner than low
    ones: the model of J. A. Moorer, "About This Reverberation Business" (1979).
    """
    size = round(1.2 * seconds * SAMPLING_RATE)
    time = np.arange(size) / SAMPLING_RATE
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    response = np.zeros(size)
    edges = (0, 300, 1200, 4000, SAMPLING_RATE)
    for low, high, longest in zip(edges, edges[1:], (1.3, 1.0, 0.9, 0.7), strict=False):
        band = np.fft.irfft(np.where((low <= hertz) & (hertz < high), spectrum, 0), size)
        response += band * 10 ** (-3 * time / (seconds * longest * rng.uniform(0.6, 1)))
    start = round(rng.uniform(0, min(0.04, 0.1 * seconds)) * SAMPLING_RATE)
    response = np.roll(response * (1 - np.exp(-time / 0.01)), start)
    response[:start] = 0
    response /= np.sqrt(np.sum(response**2)) + _FLOOR
    walls = rng.uniform(0.002, min(0.08, 0.5 * seconds), size=rng.integers(3, 15))
    reflections = rng.uniform(0.1, 0.4) * rng.choice([-1, 1], walls.size) * 0.002 / walls
    np.add.at(response, (walls * SAMPLING_RATE).astype(np.intp), 3 * reflections)
    return np.asarray(response / np.sqrt(np.sum(response**2)), dtype=np.float32)


# --- noise and loss ---


@_keeping_size
def noisy(audio: Audio, rng: Rng) -> Audio:
    """Hiss, rumble, hum, an audience or a scratched record, 12 to 60 dB below the music."""
    noise = _NOISES[rng.integers(0, len(_NOISES))](rng)
    below = rng.triangular(12, 45, 60)
    noise *= _gain(-below) * loudness(audio) / (_rms(noise) + _FLOOR)
    turned = np.roll(np.asarray(noise, dtype=np.float32), int(rng.integers(0, _NOISE_LOOP)))
    return audio + np.resize(turned, audio.size)


def _hiss(rng: Rng) -> Curve:
    """Noise whose power falls by 0 (white) to 6 dB (brown) an octave."""
    hertz = np.maximum(np.fft.rfftfreq(_NOISE_LOOP, 1 / SAMPLING_RATE), 20)
    tilt = hertz ** -rng.uniform(0, 1)
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * tilt))


def _hum(rng: Rng) -> Curve:
    """A mains of 50 or 60 Hz with its harmonics, in hiss."""
    spectrum = np.zeros(_NOISE_LOOP // 2 + 1, dtype=np.complex128)
    harmonics = np.arange(1, rng.integers(3, 20)) * float(rng.choice([50, 60]))
    phases = np.exp(2j * np.pi * rng.random(harmonics.size))
    bins = np.round(harmonics * _NOISE_LOOP / SAMPLING_RATE).astype(np.intp)
    spectrum[bins] = phases * rng.random(bins.size) / np.sqrt(harmonics)
    hum, hiss = np.fft.irfft(spectrum), _hiss(rng)
    return np.asarray(hum / hum.std() + rng.uniform(0.05, 0.5) * hiss / hiss.std())


def _audience(rng: Rng) -> Curve:
    """A murmur of voices: noise between 200 and 4000 Hz that swells a few times a second."""
    hertz = np.fft.rfftfreq(_NOISE_LOOP, 1 / SAMPLING_RATE)
    band = np.exp(-np.square(np.log(np.maximum(hertz, 1) / _log_uniform(rng, 400, 1500))))
    swells = np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * (hertz < rng.uniform(2, 8))
    voices = np.fft.irfft(np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * band)
    return np.asarray(voices * np.exp(0.5 * _standardized(np.fft.irfft(swells))))


def _crackle(rng: Rng) -> Curve:
    """Dust and scratches: clicks of all sizes, in hiss."""
    noise = _standardized(_hiss(rng))
    places = rng.integers(0, _NOISE_LOOP, size=int(_log_uniform(rng, 10, 400)))
    noise[places] += rng.uniform(2, 6) * np.clip(rng.standard_normal(places.size) ** 3, -3, 3)
    return noise


_NOISES: tuple[Callable[[Rng], Curve], ...] = (_hiss, _hiss, _hum, _audience, _crackle)


@_keeping_size
def coded(audio: Audio, rng: Rng) -> Audio:
    """A lossy codec: a low-pass, and an MDCT that is coarsely quantized, to zero where it is soft.

    The transform is that of MP3 and AAC (Princen and Bradley, 1986), with one size of window.
    """
    import scipy.fft  # noqa: PLC0415

    # Windows of 9 to 23 ms, between the short and the long ones of real codecs: what is smeared in
    # front of an onset stays short and soft.
    half = int(rng.choice([96, 128, 192, 256]))
    window = np.sin(np.pi * (np.arange(2 * half, dtype=np.float32) + 0.5) / (2 * half))
    frames = -(-audio.size // half) + 1
    padded = np.zeros((frames + 1, half), dtype=np.float32)
    padded.reshape(-1)[half : half + audio.size] = audio
    early = padded[:-1] * window[:half]  # (frames, half)
    late = padded[1:] * window[half:]
    a, b = np.split(early, 2, axis=1)
    c, d = np.split(late, 2, axis=1)
    folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
    spectrum = scipy.fft.dct(folded, type=4, norm="ortho")
    decoded = scipy.fft.dct(_quantized(spectrum, rng), type=4, norm="ortho")
    low, high = np.split(decoded, 2, axis=1)
    padded[:] = 0
    padded[:-1] += np.concatenate([high, -high[:, ::-1]], axis=1) * window[:half]
    padded[1:] += np.concatenate([-low[:, ::-1], -low], axis=1) * window[half:]
    return padded.reshape(-1)[half:]


def _quantized(spectrum: Audio, rng: Rng) -> Audio:
    """Coefficients (frames, bins) as a codec of a low bit rate keeps them."""
    bins = spectrum.shape[1]
    edges = np.unique(np.round(np.geomspace(2, bins, 20)).astype(np.intp))[:-1]
    edges = np.concatenate([[0], edges])
    widths = np.diff(edges, append=bins)
    energy = np.add.reduceat(np.square(spectrum), edges, axis=1) / widths  # (frames, bands)
    kept = energy > energy.max(axis=1, keepdims=True) * _gain(-2 * rng.uniform(35, 70))
    coarseness = np.geomspace(_log_uniform(rng, 0.1, 0.6), _log_uniform(rng, 0.5, 3), edges.size)
    step = np.repeat(np.sqrt(energy) * coarseness.astype(np.float32) + _FLOOR, widths, axis=1)
    steps = np.floor(np.abs(spectrum) / step + np.float32(0.4))
    cutoff = round(_log_uniform(rng, 5000, 16000) / (SAMPLING_RATE / 2) * bins)
    steps[:, cutoff:] = 0
    steps *= np.repeat(kept, widths, axis=1)
    return np.asarray(np.copysign(steps * step, spectrum), dtype=np.float32)


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


# --- what effects are made of ---


def _filtered(audio: Audio, *sections: Curve) -> Audio:
    """Audio through second-order sections, each (n, 6)."""
    import scipy.signal  # noqa: PLC0415

    cascade = np.concatenate(sections).astype(np.float32)  # twice as fast as float64
    return np.asarray(scipy.signal.sosfilt(cascade, audio), dtype=np.float32)


def _cut(kind: str, hertz: float, order: int) -> Curve:
    """A Butterworth high- or low-pass, (sections, 6)."""
    import scipy.signal  # noqa: PLC0415

    sections = scipy.signal.butter(
        order, min(hertz, 0.47 * SAMPLING_RATE), kind, fs=SAMPLING_RATE, output="sos"
    )
    return np.asarray(sections, dtype=np.float64)


def _bell(kind: str, hertz: float, decibels: float, q: float) -> Curve:
    """A low shelf, high shelf or peak, (1, 6): R. Bristow-Johnson's Audio EQ Cookbook."""
    amplitude = _gain(decibels / 2)
    angle = 2 * np.pi * min(hertz, 0.45 * SAMPLING_RATE) / SAMPLING_RATE
    alpha = np.sin(angle) / (2 * q)
    if kind == "peak":
        b = 1 + alpha * amplitude, -2 * np.cos(angle), 1 - alpha * amplitude
        a = 1 + alpha / amplitude, -2 * np.cos(angle), 1 - alpha / amplitude
    else:
        # A high shelf is the low one mirrored: cosines change their sign, and so do odd terms.
        side = 1.0 if kind == "low" else -1.0
        cosine, root = side * np.cos(angle), 2 * np.sqrt(amplitude) * alpha
        more, less = amplitude + 1, amplitude - 1
        b = (
            amplitude * (more - less * cosine + root),
            2 * side * amplitude * (less - more * cosine),
            amplitude * (more - less * cosine - root),
        )
        a = (
            more + less * cosine + root,
            -2 * side * (less + more * cosine),
            more + less * cosine - root,
        )
    return np.array([[*b, *a]], dtype=np.float64) / float(a[0])


def _shifted_sum(audio: Audio, copies: list[tuple[int, float]]) -> Audio:
    """Audio and copies of it, each so many samples later and with its gain."""
    total: Audio = audio.copy()
    for delay, gain in copies:
        if delay < audio.size:
            total[delay:] += np.float32(gain) * audio[: audio.size - delay]
    return total


def _delayed(audio: Audio, seconds: Curve) -> Audio:
    """Audio read as many seconds ago as a curve (points,) says; linear between samples."""
    delay = _ramped(seconds * SAMPLING_RATE, audio.size)
    whole = np.floor(delay)
    part = delay - whole
    index = np.arange(audio.size) - whole.astype(np.intp)
    here = audio.take(index, mode="clip")
    return here + part * (audio.take(index - 1, mode="clip") - here)


def _swing(samples: int, hertz: float, rng: Rng) -> Curve:
    """A slow sine from a random phase, (points,)."""
    turns = np.arange(_points(samples)) * (_BLOCK * hertz / SAMPLING_RATE)
    return np.asarray(np.sin(2 * np.pi * (turns + rng.random())))


def _points(samples: int) -> int:
    """How many points a curve along so many samples has: one where each block begins, one more."""
    return -(-samples // _BLOCK) + 1


def _ramped(curve: Curve, samples: int) -> Audio:
    """A curve (points,) as one value for each sample, linear in between."""
    points = curve.astype(np.float32)[:, None]
    ramp = np.arange(_BLOCK, dtype=np.float32) / _BLOCK
    ramped = (points[:-1] + np.diff(points, axis=0) * ramp).reshape(-1)
    return np.asarray(ramped[:samples], dtype=np.float32)


def _peaks(audio: Audio) -> Curve:
    """The highest peak of the two blocks that meet at each point, (points,)."""
    peaks = np.maximum.reduceat(np.abs(audio), np.arange(0, audio.size, _BLOCK))
    higher = np.maximum(np.append(peaks, 0), np.append(0, peaks))
    return np.asarray(higher, dtype=np.float64)


def _released(decibels: Curve, rate: float) -> Curve:
    """A curve that rises as this one does, and falls by no more than ``rate`` dB a second."""
    fall = np.arange(decibels.size) * (rate * _BLOCK / SAMPLING_RATE)
    return np.asarray(np.maximum.accumulate(decibels + fall) - fall)


def _smoothed(curve: Curve, seconds: float) -> Curve:
    """A curve through a low-pass of one pole with this time constant."""
    import scipy.signal  # noqa: PLC0415

    stay = float(np.exp(-_BLOCK / (seconds * SAMPLING_RATE)))
    return np.asarray(scipy.signal.lfilter([1 - stay], [1, -stay], curve))


def _times(audio: Audio, gain: float) -> Audio:
    return np.asarray(audio * np.float32(gain), dtype=np.float32)


def _standardized(noise: Curve) -> Curve:
    return np.asarray(noise / (noise.std() + _FLOOR))


def _rms(audio: npt.NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(audio), dtype=np.float64)))


def _decibels(amplitudes: Curve) -> Curve:
    return np.asarray(20 * np.log10(amplitudes + _FLOOR))


@overload
def _gain(decibels: float) -> float: ...
@overload
def _gain(decibels: Curve) -> Curve: ...
def _gain(decibels: float | Curve) -> float | Curve:
    return 10 ** (decibels / 20)


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, every octave as likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
