// A piano for the browser: strings made of decaying partials, struck harder or softer, and damped.

const RATE = 44100;
const SEMITONES_PER_TONE = 3;
const RELEASE_SECONDS = 0.11;
const LOWEST = 21;
const MOST_PARTIALS = 20;
const BEATING_PARTIALS = 8;

const tones = new Map(); // by their own pitch

/** Makes the tones of some pitches, one after the other, so that the page goes on meanwhile. */
export async function prepareTones(pitches) {
  for (const root of new Set(pitches.map(rootOf))) {
    if (tones.has(root)) continue;
    toneOf(root);
    await new Promise((resolve) => setTimeout(resolve));
  }
}

/** The pitch of the tone that stands for a key and its neighbors. */
const rootOf = (pitch) =>
  LOWEST + 1 + SEMITONES_PER_TONE * Math.round((pitch - LOWEST - 1) / SEMITONES_PER_TONE);

/** Plays into an audio node; what it strikes can be let go all at once. */
export class PianoSound {
  constructor(context, output) {
    this.context = context;
    this.ringing = new Set();
    this.input = context.createGain();
    this.input.gain.value = 0.5;
    const tamer = context.createDynamicsCompressor();
    tamer.threshold.value = -10;
    tamer.ratio.value = 3;
    const room = context.createConvolver();
    room.buffer = roomOf(context);
    const wet = context.createGain();
    wet.gain.value = 0.16;
    this.input.connect(tamer);
    this.input.connect(room).connect(wet).connect(tamer);
    tamer.connect(output);
  }

  /** Strikes a key at a moment of the context's clock; `skipSeconds` of its sound are over. */
  strike(atSeconds, heldSeconds, pitch, velocity, skipSeconds = 0) {
    const { context } = this;
    const at = Math.max(atSeconds, context.currentTime);
    const root = rootOf(pitch);
    const source = new AudioBufferSourceNode(context, { buffer: toneOf(root) });
    source.playbackRate.value = 2 ** ((pitch - root) / 12);
    const hardness = velocity / 127;
    const mellow = new BiquadFilterNode(context, {
      type: "lowpass",
      Q: 0.3,
      frequency: Math.min(400 + 2.2 * hertz(pitch) + 9000 * hardness ** 2.2, 18000),
    });
    const level = new GainNode(context, { gain: 0.9 * hardness ** 1.6 });
    source.connect(mellow).connect(level).connect(this.input);
    if (skipSeconds > 0) {
      level.gain.setValueAtTime(0, at);
      level.gain.linearRampToValueAtTime(0.9 * hardness ** 1.6, at + 0.02);
    }
    const end = at + Math.max(heldSeconds - skipSeconds, 0.03);
    const release = RELEASE_SECONDS * (pitch < 45 ? 1.8 : 1);
    level.gain.setTargetAtTime(0, end, release);
    source.start(at, skipSeconds);
    source.stop(end + 7 * release);
    const voice = { source, level };
    this.ringing.add(voice);
    source.onended = () => this.ringing.delete(voice);
  }

  /** Dampers down. */
  release() {
    const now = this.context.currentTime;
    for (const { source, level } of this.ringing) {
      level.gain.cancelScheduledValues(now);
      level.gain.setTargetAtTime(0, now, 0.03);
      source.stop(now + 0.25);
    }
  }
}

const hertz = (pitch) => 440 * 2 ** ((pitch - 69) / 12);

function toneOf(pitch) {
  if (!tones.has(pitch)) tones.set(pitch, makeTone(pitch));
  return tones.get(pitch);
}

/** A string of that pitch, struck hard, until it has died away. */
function makeTone(pitch) {
  const base = hertz(pitch);
  const seconds = Math.min(Math.max(7 - (pitch - 21) / 14, 1.2), 5.5);
  const count = Math.round(seconds * RATE);
  const sound = new Float32Array(count);
  const stiffness = 0.00012 * 2 ** ((pitch - 45) / 13);
  const ringing = 4.6 * 2 ** (-(pitch - 45) / 22); // seconds to fall to a third
  for (let partial = 1; partial <= MOST_PARTIALS; partial++) {
    const frequency = partial * base * Math.sqrt(1 + stiffness * partial ** 2);
    if (frequency > 9500) break;
    // Where the hammer strikes, an eighth along the string, some partials are missing.
    const strength =
      (Math.abs(Math.sin((Math.PI * partial) / 7.6)) + 0.08) / partial ** (0.75 + (pitch - 40) / 90);
    const fades = ringing / (1 + 0.22 * (partial - 1));
    // Two strings that differ a little: a prompt sound, and a longer one that beats with it.
    ring(sound, frequency, 0.72 * strength, fades * 0.42);
    if (partial > BEATING_PARTIALS) continue;
    ring(sound, frequency * (1 + 0.00035 + 0.0001 * partial), 0.28 * strength, fades * 1.5);
  }
  const knock = Math.round(0.02 * RATE);
  let dull = 0;
  for (let at = 0; at < knock; at++) {
    dull += 0.2 * (Math.random() * 2 - 1 - dull);
    sound[at] += 0.35 * dull * (1 - at / knock) ** 2;
  }
  const attack = Math.round(0.0012 * RATE);
  for (let at = 0; at < attack; at++) sound[at] *= at / attack;
  const fadeOut = Math.round(0.1 * RATE);
  for (let at = 0; at < fadeOut; at++) sound[count - 1 - at] *= at / fadeOut;
  let loudest = 0;
  for (let at = 0; at < count; at++) loudest = Math.max(loudest, Math.abs(sound[at]));
  const gain = (0.8 * (pitch > 84 ? 0.8 : 1)) / loudest;
  for (let at = 0; at < count; at++) sound[at] *= gain;
  const buffer = new AudioBuffer({ length: count, sampleRate: RATE });
  buffer.copyToChannel(sound, 0);
  return buffer;
}

/** Adds a sine that decays, by the recurrence of a resonator. */
function ring(sound, frequency, strength, fadeSeconds) {
  const angle = (2 * Math.PI * frequency) / RATE;
  const decay = Math.exp(-1 / (fadeSeconds * RATE));
  const forward = 2 * decay * Math.cos(angle);
  const back = -decay * decay;
  const count = Math.min(sound.length, Math.round(7 * fadeSeconds * RATE));
  let before = 0;
  let value = strength * Math.sin(angle) * decay;
  for (let at = 1; at < count; at++) {
    sound[at] += value;
    const next = forward * value + back * before;
    before = value;
    value = next;
  }
}

/** A small room: noise that dies away. */
function roomOf(context) {
  const count = Math.round(1.3 * RATE);
  const buffer = context.createBuffer(2, count, RATE);
  for (const channel of [0, 1]) {
    const data = buffer.getChannelData(channel);
    let dull = 0;
    for (let at = 0; at < count; at++) {
      dull += 0.45 * (Math.random() * 2 - 1 - dull);
      data[at] = dull * Math.exp((-6.5 * at) / count);
    }
  }
  return buffer;
}
