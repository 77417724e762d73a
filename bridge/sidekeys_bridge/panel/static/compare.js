// Hear and compare: the song beside its piano parts, one clock for all, on the same bars.

import { byId, element, fill, icon, minutes, say, showIcon, titled } from "./page.js";
import { PartPlayer, audioContext } from "./part_player.js";
import { PianoSound, prepareTones } from "./piano_sound.js";
import { drawNotes, drawWave, peaksOf, rangeOf } from "./small_roll.js";

const LOOK_MS = 40;
const START_SECONDS = 0.06;
const SEEK_STEP = 0.01;

export class Compare {
  constructor() {
    this.onRemove = () => {};
    this.tracks = new Map();
    this.isPlaying = false;
    this.at = 0; // seconds in the song, while it stands
    byId("listen").addEventListener("click", () => (this.isPlaying ? this.stop() : this.play()));
    byId("seek").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    byId("mix").addEventListener("input", () => this.#mix());
    byId("repeat").addEventListener("change", () => this.#repeat());
    for (const id of ["repeat-from", "repeat-to"]) byId(id).addEventListener("change", () => this.#repeat());
    byId("tracks").addEventListener("change", (event) => {
      if (event.target.name === "track") this.#solo(Number(event.target.value));
    });
    addEventListener("themechange", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(byId("tracks"));
    fill(byId("mix"));
    this.clear();
  }

  /** Nothing to hear any more. */
  clear() {
    this.stop();
    this.tracks.clear();
    this.solo = null;
    this.buffer = null;
    this.peaks = new Float32Array();
    this.seconds = 0;
    this.at = 0;
    this.source = this.#row("Song", "track-source", null);
    byId("tracks").replaceChildren(this.source.row);
    byId("compare").hidden = true;
  }

  /**
   * The song itself, decoded from the file that was dropped: it is never sent back.
   * Resolves with whether this browser can play it.
   */
  async setSource(file) {
    say(this.source.name, file.name);
    const { source } = this;
    try {
      const decoder = new OfflineAudioContext(1, 1, 44100);
      const buffer = await decoder.decodeAudioData(await file.arrayBuffer());
      if (source !== this.source) return true;
      this.buffer = buffer;
      this.peaks = peaksOf(buffer);
      this.#lasts(buffer.duration);
    } catch {
      return false;
    }
    this.#draw();
    return true;
  }

  show() {
    byId("compare").hidden = false;
    this.#draw();
  }

  addTrack(key, composer) {
    const track = this.#row(composer, "", key);
    this.tracks.set(key, { ...track, notes: [], bars: [], isDone: false });
    byId("tracks").append(track.row);
    this.showProgress(key, "Waits for the engine …", null);
  }

  showProgress(key, words, share) {
    const { picture } = this.tracks.get(key);
    let progress = picture.querySelector("progress");
    if (!progress) {
      progress = element("progress", { max: 1, "aria-label": "Progress" });
      picture.className = "track-progress";
      picture.replaceChildren(element("p", { class: "note" }), progress);
    }
    say(picture.querySelector("p"), words);
    if (share === null) progress.removeAttribute("value");
    else progress.value = share;
  }

  showFailure(key, words) {
    const { picture } = this.tracks.get(key);
    picture.className = "track-progress";
    picture.replaceChildren(element("p", { class: "warning", role: "alert" }, words));
  }

  showCover(key, notes, bars, link) {
    const track = this.tracks.get(key);
    Object.assign(track, { notes, bars, isDone: true, canvas: this.#picture(track.picture) });
    track.head.append(link);
    track.radio.disabled = false;
    prepareTones(notes.map((note) => note.pitch));
    this.#lasts(notes.reduce((end, note) => Math.max(end, note.end), 0));
    if (this.solo === null) this.#solo(key);
    byId("repeat-to").max = byId("repeat-from").max = Math.max(bars.length - 1, 1);
    this.#draw();
  }

  removeTrack(key) {
    const track = this.tracks.get(key);
    if (!track) return;
    track.row.remove();
    this.tracks.delete(key);
    if (this.solo !== key) return;
    const next = [...this.tracks].find(([, one]) => one.isDone);
    this.#solo(next ? next[0] : null);
  }

  play() {
    const context = audioContext();
    this.songLevel ??= new GainNode(context);
    this.pianoLevel ??= new GainNode(context);
    this.songLevel.connect(context.destination);
    this.pianoLevel.connect(context.destination);
    this.player ??= new PartPlayer(new PianoSound(context, this.pianoLevel));
    this.player.setNotes(this.tracks.get(this.solo)?.notes ?? []);
    this.#mix();
    this.isPlaying = true;
    const span = this.#span();
    const isOutside = span && (this.at < span[0] || this.at >= span[1]);
    this.#begin(isOutside ? span[0] : this.at >= this.seconds - 0.1 ? 0 : this.at);
    this.timer = setInterval(() => this.#look(), LOOK_MS);
    this.#showButton();
  }

  stop() {
    if (!this.isPlaying) return;
    this.at = this.position;
    this.isPlaying = false;
    clearInterval(this.timer);
    this.#silence();
    this.#showButton();
  }

  seek(seconds) {
    this.at = Math.min(Math.max(seconds, 0), this.seconds);
    if (this.isPlaying) this.#begin(this.at);
    this.#showPosition();
  }

  /** Seconds in the song. */
  get position() {
    return this.isPlaying ? Math.max(audioContext().currentTime - this.zero, 0) : this.at;
  }

  #begin(fromSeconds) {
    this.#silence();
    const context = audioContext();
    const at = context.currentTime + START_SECONDS;
    this.zero = at - fromSeconds;
    if (this.buffer && fromSeconds < this.buffer.duration) {
      this.song = new AudioBufferSourceNode(context, { buffer: this.buffer });
      this.song.connect(this.songLevel);
      this.song.start(at, fromSeconds);
    }
    this.player.play(fromSeconds, at);
  }

  #silence() {
    this.song?.stop();
    this.song = null;
    this.player?.stop();
  }

  #look() {
    const span = this.#span();
    if (span && this.position >= span[1]) this.#begin(span[0]);
    else if (this.position > this.seconds + 0.5) {
      this.stop();
      this.at = 0;
    }
    this.#showPosition();
  }

  #lasts(seconds) {
    this.seconds = Math.max(this.seconds, seconds);
    byId("seek").max = String(Math.ceil(this.seconds / SEEK_STEP) * SEEK_STEP);
    say(byId("listen-all"), minutes(this.seconds));
    this.#showPosition();
  }

  /** Equal power: what is between is as loud as the ends. */
  #mix() {
    const mix = Number(byId("mix").value);
    fill(byId("mix"));
    byId("mix").setAttribute("aria-valuetext", `${Math.round(100 * mix)} % piano`);
    if (!this.songLevel) return;
    const now = audioContext().currentTime;
    this.songLevel.gain.setTargetAtTime(0.9 * Math.cos((mix * Math.PI) / 2), now, 0.02);
    this.pianoLevel.gain.setTargetAtTime(Math.sin((mix * Math.PI) / 2), now, 0.02);
  }

  #solo(key) {
    this.solo = key;
    for (const [other, { row, radio }] of this.tracks) {
      row.classList.toggle("is-heard", other === key);
      radio.checked = other === key;
    }
    this.player?.setNotes(this.tracks.get(key)?.notes ?? []);
    if (byId("repeat").checked) this.#repeat();
  }

  /** The bars to repeat, in seconds; null for none. */
  #span() {
    const bars = this.tracks.get(this.solo)?.bars ?? [];
    if (!byId("repeat").checked || bars.length < 2) return null;
    const last = bars.length - 1;
    const from = Math.min(Math.max(Math.round(Number(byId("repeat-from").value) || 1), 1), last);
    const to = Math.min(Math.max(Math.round(Number(byId("repeat-to").value) || from), from), last);
    return [Math.max(bars[from - 1], 0), bars[to]];
  }

  #repeat() {
    const span = this.#span();
    if (span && (this.position < span[0] || this.position >= span[1])) this.seek(span[0]);
    this.#draw();
  }

  #showButton() {
    byId("listen").setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
    showIcon(byId("listen"), this.isPlaying ? "pause" : "play");
  }

  #showPosition() {
    const at = Math.min(this.position, this.seconds);
    const seek = byId("seek");
    if (Math.abs(seek.value - at) > SEEK_STEP) seek.value = at;
    fill(seek);
    say(byId("listen-at"), minutes(at));
    seek.setAttribute("aria-valuetext", `${minutes(at)} of ${minutes(this.seconds)}`);
    const [from, to] = this.#span() ?? [0, this.seconds];
    const share = to > from ? (at - from) / (to - from) : 0;
    for (const cursor of byId("tracks").querySelectorAll(".cursor")) {
      cursor.style.setProperty("--share", share.toFixed(5));
      cursor.hidden = share < 0 || share > 1;
    }
  }

  #draw() {
    if (!this.source || this.seconds === 0) return;
    const [from, to] = this.#span() ?? [0, this.seconds];
    const duration = this.buffer?.duration ?? this.seconds;
    const piece = (seconds) => Math.round((seconds / duration) * this.peaks.length);
    const beyond = Math.max(piece(to) - this.peaks.length, 0);
    const shown = this.peaks.slice(piece(from), piece(to));
    drawWave(this.source.canvas, beyond ? [...shown, ...new Float32Array(beyond)] : shown);
    const done = [...this.tracks.values()].filter((track) => track.isDone);
    const notes = done.flatMap((track) => track.notes);
    const range = notes.length ? rangeOf(notes) : null;
    for (const track of done) drawNotes(track.canvas, track.notes, from, to, { bars: track.bars, range });
    this.#showPosition();
  }

  #row(name, kind, key) {
    const radio =
      key === null
        ? null
        : element("input", { type: "radio", name: "track", value: key, disabled: true, "aria-label": `Hear ${name}` });
    const shown = element("span", {}, titled(name));
    const head = element("div", { class: "track-head" });
    if (key === null) head.append(element("p", { class: "track-name" }, shown));
    else {
      const remove = element(
        "button",
        {
          type: "button", class: "icon-button", "aria-label": `Remove ${name}`, title: "Remove",
          click: () => this.onRemove(key),
        },
        icon("cross"),
      );
      head.append(element("label", { class: "track-name" }, radio, shown), remove);
    }
    const picture = element("div", { class: "track-picture" });
    const row = element("div", { class: `track ${kind}` }, head, picture);
    const canvas = key === null ? this.#picture(picture) : null;
    return { row, radio, name: shown, head, picture, canvas };
  }

  /** A canvas with the cursor over it; a click goes there. */
  #picture(place) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    place.className = "track-picture";
    place.replaceChildren(canvas, element("span", { class: "cursor", "aria-hidden": "true" }));
    canvas.addEventListener("pointerdown", (event) => {
      const [from, to] = this.#span() ?? [0, this.seconds];
      this.seek(from + (event.offsetX / canvas.clientWidth) * (to - from));
    });
    return canvas;
  }
}
