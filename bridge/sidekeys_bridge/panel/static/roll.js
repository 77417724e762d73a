// The piano roll: what was heard, what is played and what comes, past a line that is now.

import { byId, color, fitted, isBlack, keyName, say } from "./page.js";
import { HeardStrip } from "./heard_strip.js";

const KEYS_WIDTH = 52;
const NARROW_KEYS_WIDTH = 34;
const BEAT_WIDTH = 54;
const MOST_BEATS = 28;
const FEWEST_BEATS = 8;
const AHEAD_BEATS = 1.5; // beyond the delay
const LOWEST = 35;
const HIGHEST = 96;
const LABEL_MS = 5000;
const KEY_LABEL = "#454958"; // white keys are light in both themes
const BLACK_KEY = 0.56; // of a white one's length
const TOP = 18; // for the numbers of the bars

export class Roll {
  constructor(canvas, clock, memory) {
    this.canvas = canvas;
    this.clock = clock;
    this.memory = memory;
    this.strip = new HeardStrip();
    this.lowest = LOWEST;
    this.highest = HIGHEST;
    this.isHeardShown = true;
    this.isStale = true;
    this.frames = 0;
    this.labelledMs = 0;
    this.onFrame = () => {};
    this.#readColors();
    addEventListener("themechange", () => this.#readColors());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    document.addEventListener("visibilitychange", () => this.#run());
    this.#run();
  }

  /** An event `heard`; what follows it so many beats later lies above it. */
  hear(event) {
    const tape = this.clock.tapeOf(event.start_beats + this.memory.delayBeats);
    this.strip.add(tape, event, this.heardRgb);
    this.isStale = true;
  }

  showHeard(isShown) {
    this.isHeardShown = isShown;
    this.isStale = true;
  }

  /** Something changed while the song stands. */
  refresh() {
    this.isStale = true;
  }

  #run() {
    cancelAnimationFrame(this.request);
    if (document.hidden) return;
    const frame = (nowMs) => {
      this.request = requestAnimationFrame(frame);
      const beats = this.clock.position(nowMs / 1000);
      this.onFrame(beats, nowMs);
      if ((this.clock.isPlaying || this.isStale) && this.canvas.clientWidth > 0) {
        this.isStale = false;
        this.#draw(beats + this.clock.offset);
        this.#label(beats, nowMs);
        this.frames += 1;
      }
    };
    this.request = requestAnimationFrame(frame);
  }

  #readColors() {
    this.colors = Object.fromEntries(
      ["roll", "roll-black", "roll-bar", "roll-beat", "key-white", "key-black", "note", "note-hot",
        "ink", "quiet", "line", "accent"].map((name) => [name, color(name)]),
    );
    this.heardRgb = color("heard-rgb").split(",").map(Number);
    this.strip.repaint(this.heardRgb);
    this.background = null;
    this.isStale = true;
  }

  #resize() {
    if (this.canvas.clientWidth === 0) return; // another view is shown
    this.context = fitted(this.canvas, { alpha: false });
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.keysWidth = this.width < 600 ? NARROW_KEYS_WIDTH : KEYS_WIDTH;
    this.background = null;
    this.isStale = true;
  }

  #draw(now) {
    const { context, width, height, keysWidth, colors, memory } = this;
    if (!context) return;
    this.#makeRoom();
    this.background ??= this.#paintBackground();
    const beats = Math.min(Math.max((width - keysWidth) / BEAT_WIDTH, FEWEST_BEATS), MOST_BEATS);
    const beatWidth = (width - keysWidth) / beats;
    const ahead = Math.min(Math.max(memory.delayBeats, 4) + AHEAD_BEATS, beats * 0.7);
    const nowX = Math.round(width - ahead * beatWidth);
    const xOf = (tape) => nowX + (tape - now) * beatWidth;
    const left = now - (nowX - keysWidth) / beatWidth;
    const right = now + ahead;
    const rowHeight = (height - TOP) / (this.highest - this.lowest + 1);
    const yOf = (pitch) => TOP + (this.highest - pitch + 0.5) * rowHeight;

    context.drawImage(this.background, 0, 0, width, height);
    context.save();
    context.beginPath();
    context.rect(keysWidth, 0, width - keysWidth, height);
    context.clip();
    this.#drawBars(xOf, left, right);
    context.beginPath();
    context.rect(keysWidth, TOP, width - keysWidth, height - TOP);
    context.clip();
    if (this.isHeardShown) this.strip.draw(context, left, right, xOf, yOf);

    const noteHeight = Math.max(rowHeight - 0.5, 3);
    const box = (note) => {
      const x = xOf(note.tape);
      const noteWidth = Math.max(xOf(note.end) - x - 1, 3);
      const radius = Math.min(2.5, noteHeight / 2);
      context.roundRect(x, yOf(note.pitch) - noteHeight / 2, noteWidth, noteHeight, radius);
    };
    context.lineWidth = 1.2;
    context.strokeStyle = colors.note;
    context.fillStyle = colors.note;
    for (const note of memory.ghosts(right)) {
      context.beginPath();
      box(note);
      context.globalAlpha = 0.16;
      context.fill();
      context.globalAlpha = 0.75;
      context.stroke();
    }
    const sounding = [];
    for (const note of memory.played.values()) {
      if (note.end < left || note.tape > right) continue;
      if (note.tape <= now && now < note.end && this.clock.isPlaying) sounding.push(note);
      else {
        context.globalAlpha = 0.4 + 0.6 * ((note.velocity ?? 80) / 127);
        context.beginPath();
        box(note);
        context.fill();
      }
    }
    context.globalAlpha = 1;
    context.fillStyle = colors["note-hot"];
    context.beginPath();
    sounding.forEach(box);
    context.fill();
    context.restore();

    context.fillStyle = colors.ink;
    context.globalAlpha = 0.75;
    context.fillRect(nowX - 0.75, TOP - 4, 1.5, height);
    context.globalAlpha = 1;
    this.#lightKeys(sounding, yOf, rowHeight);
    this.sounding = sounding;
  }

  #drawBars(xOf, left, right) {
    const { context, clock, colors, height } = this;
    context.font = "600 11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const length = clock.beatLength;
    clock.seams.forEach((seam, index) => {
      const end = Math.min(clock.seams[index + 1]?.tape ?? Infinity, right);
      const from = Math.max(seam.tape, left);
      let beats = clock.barStart;
      beats += Math.ceil((from - seam.offset - beats) / length - 1e-3) * length;
      for (; beats + seam.offset < end; beats += length) {
        const x = Math.round(xOf(beats + seam.offset));
        const [bar, beat] = clock.barAndBeat(beats + 1e-3);
        context.fillStyle = beat === 1 ? colors["roll-bar"] : colors["roll-beat"];
        context.fillRect(x, beat === 1 ? 0 : TOP, 1, height);
        if (beat === 1 && bar > 0) {
          context.fillStyle = colors.quiet;
          context.fillText(String(bar), x + 5, TOP / 2);
        }
      }
      if (index > 0 && seam.tape > left) {
        context.fillStyle = colors.accent;
        context.fillRect(Math.round(xOf(seam.tape)), 0, 2, TOP);
      }
    });
  }

  #paintBackground() {
    const { width, height, keysWidth, colors } = this;
    const picture = document.createElement("canvas");
    picture.width = this.canvas.width;
    picture.height = this.canvas.height;
    const context = picture.getContext("2d");
    context.scale(picture.width / width, picture.height / height);
    context.fillStyle = colors.roll;
    context.fillRect(0, 0, width, height);
    const row = (height - TOP) / (this.highest - this.lowest + 1);
    for (let pitch = this.lowest; pitch <= this.highest; pitch++) {
      const y = TOP + (this.highest - pitch) * row;
      if (isBlack(pitch)) {
        context.fillStyle = colors["roll-black"];
        context.fillRect(keysWidth, y, width, row);
      }
      context.fillStyle = colors["key-white"];
      context.fillRect(0, y, keysWidth, row);
      context.fillStyle = colors["roll-bar"];
      if (pitch % 12 === 0 || pitch % 12 === 5) context.fillRect(0, y + row - 0.5, keysWidth, 0.5);
      if (isBlack(pitch)) {
        // White keys meet behind the middle of the black one.
        context.fillRect(0, y + row / 2, keysWidth, 0.5);
        context.fillStyle = colors["key-black"];
        context.fillRect(0, y, BLACK_KEY * keysWidth, row);
      }
    }
    context.font = "600 9px system-ui, sans-serif";
    context.textAlign = "right";
    for (let pitch = 12 * Math.ceil(this.lowest / 12); pitch <= this.highest; pitch += 12) {
      const y = TOP + (this.highest - pitch + 1) * row;
      context.fillStyle = colors["roll-beat"];
      context.fillRect(keysWidth, y - 0.5, width, 1);
      context.fillStyle = KEY_LABEL;
      context.fillText(keyName(pitch), keysWidth - 4, y - 0.5);
    }
    context.fillStyle = colors.roll;
    context.fillRect(0, 0, width, TOP);
    context.fillStyle = colors.line;
    context.fillRect(keysWidth - 1, TOP, 1, height);
    return picture;
  }

  #lightKeys(sounding, yOf, rowHeight) {
    const { context, colors, keysWidth } = this;
    context.fillStyle = colors["note-hot"];
    for (const { pitch } of sounding) {
      const length = isBlack(pitch) ? BLACK_KEY * keysWidth : keysWidth - 1;
      context.fillRect(0, yOf(pitch) - rowHeight / 2, length, rowHeight);
    }
  }

  /** All keys that are played must be seen. */
  #makeRoom() {
    let { lowest, highest } = this;
    for (const { pitch } of this.memory.played.values()) {
      lowest = Math.min(lowest, pitch - 1);
      highest = Math.max(highest, pitch + 1);
    }
    if (lowest === this.lowest && highest === this.highest) return;
    [this.lowest, this.highest] = [lowest, highest];
    this.background = null;
  }

  #label(beats, nowMs) {
    if (nowMs < this.labelledMs + LABEL_MS) return;
    this.labelledMs = nowMs;
    const keys = (this.sounding ?? []).map(({ pitch }) => pitch).sort((a, b) => a - b);
    const [bar] = this.clock.barAndBeat(beats);
    const words = !this.clock.isPlaying
      ? "Piano roll. The song stands still."
      : `Piano roll, bar ${bar}. ${
          keys.length ? `The piano sounds: ${keys.map(keyName).join(", ")}.` : "The piano is silent."
        }`;
    if (this.canvas.getAttribute("aria-label") !== words) {
      this.canvas.setAttribute("aria-label", words);
    }
  }
}

/** A line in the empty roll: what to do for notes to come. */
export function hint(status, isLost) {
  let words = "";
  if (!isLost && status) {
    const { state, transport } = status;
    if (state === "starting") words = "The engine warms up. This takes some seconds.";
    else if (state === "waiting" && transport.source === "manual")
      words = "Press Start, and the piano follows.";
    else if (state === "waiting") words = "Press play in the DAW, and the piano follows.";
  }
  say(byId("roll-hint"), words);
}
