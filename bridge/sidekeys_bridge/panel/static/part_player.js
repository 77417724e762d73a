// Plays notes at their seconds: some tenths of a second ahead of the clock, with the pedal's hold.

const AHEAD_SECONDS = 0.35;
const LOOK_MS = 80;
const LONGEST_HOLD_SECONDS = 12;

/**
 * Notes of rows [onset, duration, pitch, velocity]: `up` is where the key is let go, and `end`
 * where the sound is damped: by the pedal, or where the key is struck again.
 */
export function heldNotes(notes, pedals = []) {
  const spans = [];
  let down = null;
  for (const [seconds, isDown] of pedals) {
    if (isDown && down === null) down = seconds;
    else if (!isDown && down !== null) {
      spans.push([down, seconds]);
      down = null;
    }
  }
  if (down !== null) spans.push([down, Infinity]);
  const held = notes
    .map(([onset, duration, pitch, velocity]) => {
      const end = onset + duration;
      const span = spans.find(([from, to]) => from < end && end < to);
      const held = Math.min(span ? span[1] : end, end + LONGEST_HOLD_SECONDS);
      return { onset, up: end, end: held, pitch, velocity: velocity ?? 80 };
    })
    .sort((one, other) => one.onset - other.onset);
  const next = new Map();
  for (const note of [...held].reverse()) {
    note.end = Math.min(note.end, next.get(note.pitch) ?? Infinity);
    next.set(note.pitch, note.onset);
  }
  return held;
}

/** One part on one piano; it knows where it is while it plays. */
export class PartPlayer {
  constructor(piano) {
    this.piano = piano;
    this.notes = [];
    this.isPlaying = false;
  }

  /** Other notes; those that sound now are caught up with. */
  setNotes(notes) {
    this.notes = notes;
    if (this.isPlaying) {
      this.piano.release();
      this.#begin(this.position);
    }
  }

  /** Plays from a position, at a moment of the context's clock. */
  play(fromSeconds, atSeconds) {
    this.zero = atSeconds - fromSeconds;
    this.isPlaying = true;
    this.#begin(fromSeconds);
    clearInterval(this.timer);
    this.timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop() {
    this.isPlaying = false;
    clearInterval(this.timer);
    this.piano.release();
  }

  get position() {
    return this.piano.context.currentTime - this.zero;
  }

  #begin(fromSeconds) {
    this.next = this.notes.findIndex((note) => note.onset >= fromSeconds - 1e-6);
    if (this.next < 0) this.next = this.notes.length;
    for (const { onset, end, pitch, velocity } of this.notes.slice(0, this.next)) {
      if (end > fromSeconds + 0.05 && fromSeconds - onset < 6) {
        const at = this.zero + fromSeconds;
        this.piano.strike(at, end - onset, pitch, velocity, fromSeconds - onset);
      }
    }
    this.#look();
  }

  #look() {
    const until = this.position + AHEAD_SECONDS;
    while (this.next < this.notes.length && this.notes[this.next].onset < until) {
      const { onset, end, pitch, velocity } = this.notes[this.next++];
      this.piano.strike(this.zero + onset, end - onset, pitch, velocity);
    }
  }
}

let shared = null;

/** The page's one audio context; made when something is to be heard, as browsers want it. */
export function audioContext() {
  shared ??= new AudioContext({ latencyHint: "interactive" });
  if (shared.state === "suspended") shared.resume();
  return shared;
}
