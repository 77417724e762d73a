// What is heard and how it is followed: mode and delay, the input and its level, the beat.

import { byId, element, notice, say, sayAloud } from "./page.js";
import { ask, sentence } from "./link.js";
import { change, present } from "./changes.js";

const FLOOR_DB = -60;
const SILENT_SECONDS = 3;
const OTHER = "other";
const NUDGE_MS = 10;
const MODES = {
  echo: "The piano plays what it has just heard, some beats behind.",
  loop: "The piano plays in time what it heard here in the pass before.",
};
const BEAT_NOTES = {
  none: "Nobody tells the beat yet.",
  clock: "The DAW's MIDI clock sets tempo and position.",
  link: "Link sets the tempo.",
  script: "The DAW's script sets tempo and position.",
  manual: "",
  audio: "The beat is found in the sound. That takes some seconds.",
};

export class Listening {
  constructor() {
    this.inputs = [];
    this.isSilent = false;
    byId("mode").addEventListener("change", (event) => change("mode", event.target.value));
    const delays = ["auto", 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64];
    byId("delay").append(
      ...delays.map((beats) =>
        element("option", { value: beats }, beats === "auto" ? "As short as it can be" : `${beats} beats`),
      ),
    );
    byId("delay").addEventListener("change", (event) => change("delay", event.target.value));
    byId("input").addEventListener("change", () => this.#chooseInput());
    byId("input").addEventListener("focus", () => this.listInputs());
    byId("input-other").addEventListener("change", (event) => this.#listenTo(event.target.value));
    byId("channels").addEventListener("change", (event) => change("channels", event.target.value));
    byId("transport").addEventListener("change", (event) => change("transport", event.target.value));
    byId("bpm").addEventListener("change", (event) => {
      if (event.target.checkValidity() && event.target.value) change("bpm", Number(event.target.value));
      else notice("A tempo is from 30 to 300.");
    });
    byId("song-meter").addEventListener("change", (event) => change("meter", event.target.value));
    byId("tap").addEventListener("pointerdown", (event) => this.#tap(event));
    byId("tap").addEventListener("click", (event) => event.detail === 0 && this.#tap(event));
    const attempt = (command, content) => ask(command, content).catch((failure) => notice(failure.message));
    byId("downbeat").addEventListener("click", () => attempt("downbeat"));
    byId("earlier").addEventListener("click", () => attempt("nudge", { milliseconds: -NUDGE_MS }));
    byId("later").addEventListener("click", () => attempt("nudge", { milliseconds: NUDGE_MS }));
  }

  /** Asks which inputs there are now. */
  async listInputs() {
    try {
      const { inputs } = await ask("inputs");
      this.inputs = inputs;
      if (this.status) this.#showInput(this.status.input);
    } catch {
      // Without the list, the present input is all there is to see.
    }
  }

  show(status) {
    this.status = status;
    this.#showFollowing(status);
    this.#showInput(status.input);
    this.#showBeat(status.transport);
    this.showLevel(status.input);
  }

  /** An event `level`. */
  showLevel({ level_db: level, peak_db: peak, clipped, silent_seconds: silent }) {
    const { connected, ended } = this.status?.input ?? {};
    const share = (decibels) => Math.min(Math.max(1 - decibels / FLOOR_DB, 0), 1);
    const meter = byId("level");
    meter.style.setProperty("--share", share(level).toFixed(3));
    meter.style.setProperty("--peak", share(peak).toFixed(3));
    const isSilent = Boolean(connected) && !ended && silent >= SILENT_SECONDS;
    byId("clip").hidden = !clipped;
    byId("no-signal").hidden = !isSilent;
    if (isSilent && !this.isSilent) sayAloud("No signal on this bus.");
    this.isSilent = isSilent;
    const words = !connected
      ? "Not open"
      : ended
        ? "The file is over"
        : level <= FLOOR_DB
          ? "Silent"
          : `${level.toFixed(0)} dB, peak ${peak.toFixed(0)} dB`;
    say(byId("level-words"), words);
    const value = String(Math.round(Math.min(Math.max(level, FLOOR_DB), 0)));
    if (meter.getAttribute("aria-valuenow") !== value) {
      meter.setAttribute("aria-valuenow", value);
      meter.setAttribute("aria-valuetext", words);
    }
  }

  #showFollowing({ mode, delay_beats: beats, delay_reason: reason }) {
    const shown = present("mode", mode);
    byId("mode").querySelector(`[value="${shown}"]`).checked = true;
    say(byId("mode-note"), MODES[shown]);
    byId("delay-row").hidden = shown === "loop";
    const isChosen = /^chosen by you/.test(reason ?? "");
    if (reason !== null) this.delay = isChosen ? String(beats) : "auto";
    setChoice(byId("delay"), String(present("delay", this.delay ?? "auto")), (value) => `${value} beats`);
    const follows = shown === "loop" || reason === null ? "" : `${beats} beats behind. ${sentence(reason)}`;
    say(byId("delay-reason"), follows);
  }

  #showInput(input) {
    const select = byId("input");
    const choice = present("input", input.choice);
    const known = this.inputs.map(([index, name, hostApi]) => {
      const isTwice = this.inputs.filter((row) => row[1] === name).length > 1;
      return isTwice ? [String(index), `${name} (${hostApi})`] : [name, name];
    });
    const options = [["default", "The usual input"], ...known];
    if (!options.some(([value]) => value === choice)) options.push([choice, inputName(choice, input.name)]);
    options.push([OTHER, "Something else…"]);
    const isOther = select.value === OTHER && !byId("input-other-row").hidden;
    setOptions(select, options);
    if (!isOther) select.value = choice;
    if (select.value !== OTHER) byId("input-other-row").hidden = true;
    const row = this.inputs.find((one) => one[1] === choice || String(one[0]) === choice);
    const count = row ? row[3] : 2;
    const channels = [["all", "All"]];
    for (let first = 1; first < count && first < 32; first += 2) channels.push([`${first}-${first + 1}`, `${first} and ${first + 1}`]);
    for (let one = 1; one <= count && one <= 32; one++) channels.push([String(one), `Only ${one}`]);
    setOptions(byId("channels"), channels);
    setChoice(byId("channels"), present("channels", input.channels), (value) => value.replace("-", " and "));
  }

  #chooseInput() {
    const { value } = byId("input");
    byId("input-other-row").hidden = value !== OTHER;
    if (value === OTHER) byId("input-other").focus();
    else this.#listenTo(value);
  }

  /** Another input has other channels: all of them, until some are chosen. */
  #listenTo(input) {
    change("input", input);
    change("channels", "all");
  }

  #showBeat(transport) {
    byId("transport").value = present("transport", transport.choice);
    const isManual = transport.source === "manual" || transport.choice === "manual";
    const bpm = byId("bpm");
    if (document.activeElement !== bpm) {
      const told = present("bpm", transport.bpm);
      const text = told ? String(Math.round(told * 10) / 10) : "";
      if (bpm.value !== text) bpm.value = text;
    }
    const meter = byId("song-meter");
    if (document.activeElement !== meter) {
      const told = present("meter", transport.meter);
      if (meter.value !== told) meter.value = told;
    }
    bpm.disabled = !isManual;
    for (const id of ["tap", "downbeat", "earlier", "later"]) byId(id).disabled = !isManual;
    const note = transport.problem ? sentence(transport.problem) : BEAT_NOTES[transport.source ?? "none"];
    say(byId("beat-note"), note ?? "");
  }

  async #tap(event) {
    event.preventDefault();
    byId("tap").focus();
    try {
      const { bpm } = await ask("tap");
      say(byId("beat-note"), bpm === null ? "Tap on …" : `${bpm.toFixed(1)} bpm`);
    } catch (failure) {
      notice(failure.message);
    }
  }
}

function inputName(choice, name) {
  if (choice.startsWith("file:")) return choice.split(/[\\/]/).pop();
  return name || choice;
}

function setOptions(select, options) {
  const wanted = options.map((option) => option.join("\n")).join("\n\n");
  if (select.dataset.options === wanted) return;
  const { value } = select;
  select.dataset.options = wanted;
  select.replaceChildren(...options.map(([option, words]) => element("option", { value: option }, words)));
  if (options.some(([option]) => option === value)) select.value = value;
}

/** Chooses a value of a select, adding it if it is none of its own. */
function setChoice(select, value, words) {
  if (![...select.options].some((option) => option.value === value)) {
    select.append(element("option", { value }, words(value)));
  }
  if (select.value !== value) select.value = value;
}
