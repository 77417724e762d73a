// Where the song is at this moment, from messages that come ten times a second and a little late.
//
// Two numbers: the song position in quarter notes, which jumps when the song does, and the tape,
// which counts the same quarter notes but only ever runs on. What is drawn lies on the tape; seams
// say which song position lies where.

const SAME_RUN_BEATS = 0.6; // what differs by more is a jump
const TRUST = 0.15; // of what a message says about the clock: it may have been late
const CATCH_UP_SECONDS = 0.2;
const MOST_SEAMS = 24;

export class SongClock {
  constructor() {
    this.bpm = 120;
    this.isPlaying = false;
    this.meter = "4/4";
    this.loop = null;
    this.stretch = 0;
    this.seams = [{ tape: -1e9, offset: 0 }];
    this.onSeam = () => {};
    this.bar = 1; // what was said last: its number, and where it begins
    this.barStart = 0;
    this.#anchor(0, 0);
    this.shown = 0;
    this.shownSeconds = 0;
  }

  /** Takes in a transport that was told at a moment. */
  hear(transport, nowSeconds) {
    this.position(nowSeconds); // no frames are drawn while the page is hidden
    const told = transport.beat;
    const expected = this.#target(nowSeconds);
    const isOtherRun = transport.playing && transport.stretch !== this.stretch;
    this.loop = transport.loop;
    this.#hearBar(transport);
    const wasPlaying = this.isPlaying;
    this.isPlaying = transport.playing;
    if (transport.playing) this.stretch = transport.stretch;
    this.bpm = transport.bpm || this.bpm;
    const isJump = Math.abs(told - expected) > SAME_RUN_BEATS;
    if (isJump || (isOtherRun && Math.abs(told - expected) > 0.1)) {
      this.#jump(told, nowSeconds);
    } else if (wasPlaying && transport.playing) {
      this.#anchor(expected + TRUST * (told - expected), nowSeconds);
    } else {
      this.#anchor(told, nowSeconds);
    }
    if (isOtherRun) this.onSeam();
  }

  /** Nobody tells it any more: it stands where it is. */
  stop(nowSeconds) {
    this.#anchor(this.position(nowSeconds), nowSeconds);
    this.isPlaying = false;
  }

  /** The song position now, in quarter notes; call it once a frame. */
  position(nowSeconds) {
    const passed = Math.min(Math.max(nowSeconds - this.shownSeconds, 0), 0.5);
    const target = this.#target(nowSeconds);
    if (passed > 0) {
      const error = target - this.shown - (this.isPlaying ? (passed * this.bpm) / 60 : 0);
      const part = Math.abs(error) > 1 ? 1 : 1 - Math.exp(-passed / CATCH_UP_SECONDS);
      this.shown = target - error * (1 - part);
      this.shownSeconds = nowSeconds;
    }
    return this.shown;
  }

  /** Where a song position of this run lies on the tape. */
  tapeOf(beats) {
    return beats + this.offset;
  }

  get offset() {
    return this.seams[this.seams.length - 1].offset;
  }

  get beatsPerBar() {
    const [count, unit] = this.meter.split("/").map(Number);
    return count && unit ? (count * 4) / unit : 4;
  }

  /** Quarter notes of what is counted as a beat. */
  get beatLength() {
    return 4 / (Number(this.meter.split("/")[1]) || 4);
  }

  /** Bar number and beat in it, both from 1, at a song position. */
  barAndBeat(beats) {
    const bars = Math.floor((beats - this.barStart) / this.beatsPerBar + 1e-6);
    const within = beats - this.barStart - bars * this.beatsPerBar;
    return [this.bar + bars, Math.floor(within / this.beatLength + 1e-6) + 1];
  }

  #target(nowSeconds) {
    if (!this.isPlaying) return this.anchorBeats;
    return this.anchorBeats + ((nowSeconds - this.anchorSeconds) * this.bpm) / 60;
  }

  #anchor(beats, seconds) {
    this.anchorBeats = beats;
    this.anchorSeconds = seconds;
  }

  #jump(beats, nowSeconds) {
    const tape = this.shown + this.offset;
    this.seams = [...this.seams, { tape, offset: tape - beats }].slice(-MOST_SEAMS);
    this.#anchor(beats, nowSeconds);
    this.shown = beats;
    this.shownSeconds = nowSeconds;
  }

  #hearBar(transport) {
    this.meter = transport.meter || this.meter;
    this.bar = transport.bar;
    this.barStart = transport.bar_start;
  }
}
