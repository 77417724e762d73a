// How the machine does: engine, time for a window, counters, timing, what is wrong; and takes.

import { byId, download, element, midiLink, notice, say, sayAloud } from "./page.js";
import { ask, call, sentence } from "./link.js";

const STATES = {
  starting: "Starts",
  loading: "Loads the checkpoint",
  warming: "Warms up",
  ready: "Ready",
  down: "Down; another one is started",
};
const DEVICES = { cpu: "this computer's processor", cuda: "NVIDIA GPU", mps: "Apple GPU" };

/** Problems, each with its next step; the banner is gone when there are none. */
export function showProblems(problems) {
  const place = byId("problems");
  const words = problems.map(sentence);
  const before = [...place.children].map((line) => line.textContent);
  if (words.join("\n") === before.join("\n")) return;
  place.replaceChildren(...words.map((text) => element("p", {}, text)));
  place.hidden = words.length === 0;
}

export class EngineView {
  constructor() {
    byId("checkpoint-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const checkpoint = byId("checkpoint").value.trim() || "builtin";
      try {
        await ask("load-checkpoint", { checkpoint });
        notice("It is loaded; until it is warm, the one before plays on.");
      } catch (failure) {
        notice(failure.message);
      }
    });
  }

  show({ engine, transport, counters, timing, port, bridge }, beatsPerBar) {
    const { state, device, checkpoint, generation_seconds: took } = engine;
    const where = device ? ` on ${DEVICES[device] ?? device}` : "";
    say(byId("engine-state"), `${STATES[state] ?? state}${state === "ready" ? where : ""}`);
    const bar = transport.bpm ? (beatsPerBar * 60) / transport.bpm : null;
    const share = took && bar ? Math.min(took / bar, 1) : 0;
    const budget = byId("budget");
    budget.style.setProperty("--share", share.toFixed(3));
    budget.classList.toggle("is-tight", share > 0.8);
    const words = !took
      ? "Not measured yet"
      : bar
        ? `A window takes ${took.toFixed(2)} s; a bar lasts ${bar.toFixed(2)} s`
        : `A window takes ${took.toFixed(2)} s`;
    say(byId("budget-words"), words);
    if (budget.getAttribute("aria-valuetext") !== words) {
      budget.setAttribute("aria-valuenow", String(Math.round(100 * share)));
      budget.setAttribute("aria-valuetext", words);
    }
    const ms = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(1)} ms`);
    this.#facts([
      ["Windows played", String(counters.windows_done)],
      ["Windows missed", String(counters.windows_missed)],
      ["Notes", String(counters.notes_sent)],
      ["Late notes, left out", String(counters.late_notes_dropped)],
      ["MIDI timing, usual", ms(timing.p50_ms)],
      ["MIDI timing, 99 of 100", ms(timing.p99_ms)],
      ["MIDI timing, worst", ms(timing.max_ms)],
      ["Realtime priority", timing.realtime ? "yes" : "no"],
      ["Lost sound", counters.input_overflows ? `${counters.input_overflows} times` : "none"],
      ["MIDI port", port ?? "none"],
      ["Checkpoint", checkpoint === "builtin" ? "built in" : (checkpoint ?? "–")],
    ]);
    say(byId("version"), `Sidekeys ${bridge.version}`);
  }

  #facts(facts) {
    const place = byId("engine-facts");
    if (place.children.length !== facts.length) {
      place.replaceChildren(
        ...facts.map(([name]) => element("div", {}, element("dt", {}, name), element("dd"))),
      );
    }
    facts.forEach(([, value], at) => say(place.children[at].lastElementChild, value));
  }
}

/** Keeps what was played: the last bars, or all of it. */
export function wireTakes() {
  const keep = async (command, content, name) => {
    try {
      const { download: path, notes, bars } = await ask(command, content);
      const blob = await (await call(path)).blob();
      download(blob, name);
      const count = `${notes} ${notes === 1 ? "note" : "notes"} in ${bars} ${bars === 1 ? "bar" : "bars"}.`;
      say(byId("take-note"), `${count} The file is among your downloads; or drag it into the DAW.`);
      byId("take-file").replaceChildren(await midiLink(blob, name));
      sayAloud(count);
    } catch (failure) {
      notice(failure.message);
    }
  };
  const stamp = () => new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
  byId("keep").addEventListener("click", () => {
    const bars = Number(byId("keep-bars").value);
    if (!Number.isInteger(bars) || bars < 1) notice("How many bars? Give a whole number from 1.");
    else keep("keep", { bars }, `sidekeys-${bars}-bars-${stamp()}.mid`);
  });
  byId("session").addEventListener("click", () => keep("record", {}, `sidekeys-session-${stamp()}.mid`));
}
