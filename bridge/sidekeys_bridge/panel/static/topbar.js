// The bar on top: the state in words, the beat, and what must be in reach at any moment.

import { byId, element, notice, say, sayAloud, showIcon } from "./page.js";
import { ask } from "./link.js";

const STATES = {
  starting: "Engine starts",
  waiting: "Ready",
  playing: "Playing",
  "no-input": "No input",
  "no-engine": "Engine is down",
  ending: "Ends",
  lost: "Not connected. Trying again…",
  refused: "No key",
};
const SOURCES = {
  none: "nobody tells the beat", clock: "MIDI clock", link: "Link", script: "DAW script",
  manual: "by hand", audio: "from the sound",
};
const PANIC_MS = 600;
const LETTERS = "sidekeys-letters";

const attempt = (command, content) =>
  ask(command, content).catch((failure) => notice(failure.message));

export class TopBar {
  constructor(clock) {
    this.clock = clock;
    this.status = null;
    this.state = "";
    this.lit = -1;
    byId("play").addEventListener("click", () => this.play());
    byId("mute").addEventListener("click", () => this.mute());
    byId("panic").addEventListener("click", () => this.panic());
    addEventListener("keydown", (event) => this.#key(event));
    wireLetters();
  }

  play() {
    if (byId("play").disabled) return;
    attempt(this.status.transport.playing ? "pause" : "play", {});
  }

  mute() {
    if (this.status) attempt("set", { mute: !this.status.controls.mute });
  }

  panic() {
    ask("panic").then(
      () => sayAloud("All notes are released."),
      (failure) => notice(failure.message),
    );
  }

  /** The state of the link, or of the bridge. */
  showState(state) {
    if (state === this.state) return;
    this.state = state;
    byId("state").dataset.state = state;
    say(byId("state-words"), STATES[state] ?? state);
    this.#showHands();
  }

  show(status) {
    this.status = status;
    const { transport, controls } = status;
    say(byId("tempo"), transport.bpm ? transport.bpm.toFixed(transport.bpm % 1 ? 1 : 0) : "–");
    say(byId("meter"), transport.meter);
    say(byId("source"), SOURCES[transport.source ?? "none"] ?? "");
    const mute = byId("mute");
    mute.setAttribute("aria-pressed", String(controls.mute));
    showIcon(mute, controls.mute ? "muted" : "sound");
    this.#showHands();
  }

  /** Each frame: bar, beat and lights. */
  frame(beats) {
    const { clock } = this;
    if (!this.status || (!clock.isPlaying && this.status.transport.source === null)) return;
    const [bar, beat] = clock.barAndBeat(beats);
    say(byId("bar"), String(bar));
    say(byId("beat"), String(beat));
    const count = Math.round(clock.beatsPerBar / clock.beatLength);
    const lights = byId("beat-lights");
    if (lights.children.length !== count) {
      lights.replaceChildren(
        ...Array.from({ length: count }, () => element("span", { class: "beat-light" })),
      );
      this.lit = -1;
    }
    const lit = clock.isPlaying ? beat - 1 : -1;
    if (lit === this.lit) return;
    lights.children[this.lit]?.classList.remove("is-lit");
    lights.children[lit]?.classList.add("is-lit");
    this.lit = lit;
  }

  #showHands() {
    const isThere = this.status !== null && !["lost", "refused"].includes(this.state);
    const transport = this.status?.transport;
    const isManual = transport?.source === "manual" || transport?.choice === "manual";
    const play = byId("play");
    play.disabled = !(isThere && isManual);
    play.title = isManual ? "" : "Starts and stops the beat by hand; here the DAW does it";
    const isPlaying = isThere && Boolean(transport?.playing) && isManual;
    play.classList.toggle("is-on", isPlaying);
    play.setAttribute("aria-label", isPlaying ? "Stop" : "Start");
    say(play.querySelector(".hand-word"), isPlaying ? "Stop" : "Start");
    showIcon(play, isPlaying ? "pause" : "play");
    byId("mute").disabled = byId("panic").disabled = !isThere;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (event.timeStamp - (this.escapedMs ?? -PANIC_MS) < PANIC_MS) {
        this.escapedMs = undefined;
        this.panic();
      } else this.escapedMs = event.timeStamp;
      return;
    }
    if (isWriting(event.target) || event.repeat) return;
    if (event.key === " " && !isPressed(event.target)) this.play();
    else if (!areLettersKeys()) return;
    else if (event.key === "P" && event.shiftKey) this.panic();
    else if (event.key === "m") this.mute();
    else if (event.key === "t") attempt("tap");
    else return;
    event.preventDefault();
  }
}

/** Whether a letter or a number alone does something; who speaks to the computer switches it off. */
export const areLettersKeys = () => byId("letters").checked;

function wireLetters() {
  const box = byId("letters");
  try {
    box.checked = localStorage.getItem(LETTERS) !== "off";
  } catch {
    // A browser that keeps nothing.
  }
  box.addEventListener("change", () => {
    try {
      localStorage.setItem(LETTERS, box.checked ? "on" : "off");
    } catch {
      // It holds as long as the page.
    }
  });
}

const WRITTEN_IN = "input[type=text], input[type=number], select, textarea";

/** Whether letters belong to a field. */
export const isWriting = (target) => target instanceof Element && target.matches(WRITTEN_IN);

/** Whether the space bar belongs to what has the focus. */
const isPressed = (target) =>
  target instanceof Element && target.matches("button, summary, a, input, select, [role=tab]");
