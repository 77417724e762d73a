// What lies on the tape of the piano roll: notes that were handed to the piano, and those to come.

const KEPT_BEATS = 64;
const SAME_BEATS = 0.03;

export class RollMemory {
  constructor(clock) {
    this.clock = clock;
    this.played = new Map(); // by pitch and onset: the end of a note may move
    this.coming = [];
    this.windows = new Map(); // in loop mode, by where they begin: they come again
    this.composers = []; // whose windows begin to sound where on the tape
    this.mode = "echo";
    this.delayBeats = 0;
    this.controls = null;
  }

  /** The song jumped or began anew: what was to come will not. */
  cut() {
    const tape = this.#now();
    this.coming = [];
    this.composers = this.composers.filter((one) => one.tape <= tape);
    for (const [key, note] of this.played) {
      if (note.tape > tape) this.played.delete(key);
      else note.end = Math.min(note.end, tape);
    }
  }

  /** Rows of an event `notes`. */
  addPlayed(rows) {
    const now = this.#now();
    for (const [onset, duration, pitch, velocity] of rows) {
      const tape = this.#nearest(this.clock.tapeOf(onset), now);
      const key = `${pitch}:${Math.round(tape * 64)}`;
      this.played.set(key, { tape, end: tape + Math.max(duration, 0.05), pitch, velocity });
    }
    for (const [key, note] of this.played) {
      if (note.end < now - KEPT_BEATS) this.played.delete(key);
    }
  }

  /** An event `window`. */
  addWindow({ start_beats: start, composer, result, rows = [] }) {
    const now = this.#now();
    if (this.mode === "loop") this.windows.set(Math.round(start * 16), rows);
    const tape = this.clock.tapeOf(start + this.delayBeats);
    if (result !== "missed" && composer) {
      this.composers.push({ tape, composer });
      this.composers.sort((one, other) => one.tape - other.tape);
      while (this.composers.length > 2 && this.composers[1].tape < now) this.composers.shift();
    }
    if (this.mode === "loop") return;
    const added = rows.map((row) => this.#ghost(row, this.clock.tapeOf(row[0] + this.delayBeats)));
    this.coming = [...this.coming.filter((note) => note.end > now), ...added];
  }

  /** Who is heard at this moment; null before anybody is. */
  soundingComposer() {
    const now = this.#now() + SAME_BEATS;
    return this.composers.filter((one) => one.tape <= now).pop()?.composer ?? null;
  }

  /** Notes that are not handed over yet, up to a place on the tape. */
  ghosts(untilTape) {
    const now = this.#now();
    const { loop } = this.clock;
    const notes = this.coming.filter((note) => note.tape > now);
    if (this.mode === "loop") {
      const length = loop ? loop[1] - loop[0] : 0;
      for (const row of [...this.windows.values()].flat()) {
        let tape = this.clock.tapeOf(row[0]);
        if (length && tape <= now && row[0] >= loop[0]) tape += length;
        if (tape > now && tape < untilTape) notes.push(this.#ghost(row, tape));
      }
    }
    return notes.filter((note) => !this.#isHandedOver(note));
  }

  #ghost([, duration, pitch, velocity], tape) {
    return { tape, end: tape + Math.max(duration, 0.05), pitch: this.#key(pitch), velocity };
  }

  /** The key that a pitch is played on, as the bridge folds it. */
  #key(pitch) {
    if (!this.controls) return pitch;
    const { transpose, lowest_pitch: lowest, highest_pitch: highest } = this.controls;
    let key = pitch + transpose;
    if (key < lowest) key += 12 * Math.ceil((lowest - key) / 12);
    else if (key > highest) key -= 12 * Math.ceil((key - highest) / 12);
    return key;
  }

  #isHandedOver(note) {
    const tape = Math.round(note.tape * 64);
    return [tape, tape - 1, tape + 1].some((place) => this.played.has(`${note.pitch}:${place}`));
  }

  /** Notes of a loop's next pass are told before the song is there. */
  #nearest(tape, now) {
    const { loop } = this.clock;
    const length = loop ? loop[1] - loop[0] : 0;
    return length && tape < now - length / 2 ? tape + length : tape;
  }

  #now() {
    return this.clock.shown + this.clock.offset;
  }
}
