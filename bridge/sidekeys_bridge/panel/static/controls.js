// How the piano plays: every control of the bridge, made from one table.

import { byId, element, fill, keyName, say } from "./page.js";
import { change, present } from "./changes.js";

const signed = (value) => (value > 0 ? `+${value}` : String(value).replace("-", "−"));
const semitones = (value) => (value === 0 ? "as heard" : `${signed(value)} semitones`);

/** Names and bounds are those of `set` in the control protocol. */
export const CONTROLS = [
  ["Notes", [
    { name: "transpose", label: "Transpose", low: -24, high: 24, words: semitones },
    { name: "temperature", label: "Surprise", low: 0, high: 2, step: 0.05, words: (value) => (value === 0 ? "none" : value.toFixed(2)) },
    { name: "seed", label: "Take", low: 0, high: 2147483647, kind: "number" },
    { name: "playable", label: "Two hands can play it", kind: "switch" },
  ]],
  ["Touch", [
    { name: "velocity_curve", label: "Touch", kind: "choice", choices: { soft: "Soft", linear: "As is", hard: "Hard", fixed: "Fixed" } },
    { name: "velocity_offset", label: "Softer or louder", low: -63, high: 63, words: signed },
    { name: "velocity_fixed", label: "Fixed velocity", low: 1, high: 127, isShown: (controls) => controls.velocity_curve === "fixed" },
    { name: "expression", label: "Follow the song's loudness", kind: "switch" },
    { name: "pedal", label: "Pedal", kind: "switch" },
  ]],
  ["Keys", [
    { name: "lowest_pitch", label: "Lowest key", low: 0, high: 127, words: keyName },
    { name: "highest_pitch", label: "Highest key", low: 0, high: 127, words: keyName },
    { name: "split", label: "Left hand on its own channel", kind: "switch" },
    { name: "split_pitch", label: "Right hand from", low: 0, high: 127, words: keyName, isShown: (controls) => controls.split },
    { name: "channel", label: "Channel", low: 1, high: 16 },
    { name: "left_channel", label: "Left hand's channel", low: 1, high: 16, isShown: (controls) => controls.split },
  ]],
];
const ALL = CONTROLS.flatMap(([, controls]) => controls);

export class ControlPanel {
  constructor() {
    this.controls = null;
    this.fields = new Map();
    byId("controls").append(
      ...CONTROLS.map(([title, controls]) =>
        element(
          "fieldset",
          { class: "control-group" },
          element("legend", {}, title),
          ...controls.map((control) => this.#field(control)),
        ),
      ),
    );
  }

  show(controls) {
    this.controls = controls;
    for (const control of ALL) {
      const { row, show } = this.fields.get(control.name);
      show(present(control.name, controls[control.name]));
      row.hidden = control.isShown ? !control.isShown(controls) : false;
    }
  }

  /** What a preset keeps: everything that says how it plays, and who. */
  values() {
    const { mute: _, ...values } = this.controls;
    return values;
  }

  #field(control) {
    const make = { switch: switchField, choice: choiceField, number: numberField }[control.kind] ?? sliderField;
    const field = make(control, (value) => this.#send(control.name, value));
    this.fields.set(control.name, field);
    return field.row;
  }

  #send(name, value) {
    change(name, value);
    // The lowest key takes the highest along, and the other way round.
    const { lowest_pitch: lowest, highest_pitch: highest } = this.controls ?? {};
    if (name === "lowest_pitch" && value > highest) change("highest_pitch", value);
    if (name === "highest_pitch" && value < lowest) change("lowest_pitch", value);
  }
}

function sliderField({ name, label, low, high, step = 1, words = String }, send) {
  const id = `control-${name}`;
  const output = element("output", { for: id });
  const slider = element("input", { type: "range", id, min: low, max: high, step });
  const tell = () => {
    const value = Number(slider.value);
    say(output, words(value));
    if (words !== String) slider.setAttribute("aria-valuetext", words(value));
    fill(slider);
  };
  slider.addEventListener("input", () => {
    tell();
    send(Number(slider.value));
  });
  const row = element("div", { class: "control" }, element("label", { for: id }, label), output, slider);
  const show = (value) => {
    if (Number(slider.value) === value && output.textContent) return;
    slider.value = value;
    tell();
  };
  return { row, show };
}

function switchField({ label }, send) {
  const box = element("input", { type: "checkbox", role: "switch" });
  box.addEventListener("change", () => send(box.checked));
  return {
    row: element("label", { class: "switch" }, box, element("span", {}, label)),
    show: (value) => (box.checked = value),
  };
}

function choiceField({ name, label, choices }, send) {
  const row = element(
    "fieldset",
    { class: "segments" },
    element("legend", { class: "hidden" }, label),
    ...Object.entries(choices).map(([value, words]) =>
      element("label", {}, element("input", { type: "radio", name, value }), element("span", {}, words)),
    ),
  );
  row.addEventListener("change", (event) => send(event.target.value));
  return { row, show: (value) => (row.querySelector(`[value="${value}"]`).checked = true) };
}

function numberField({ name, label, low, high }, send) {
  const id = `control-${name}`;
  const input = element("input", { type: "number", id, min: low, max: high, step: 1, inputmode: "numeric" });
  const another = element("button", { type: "button", class: "button" }, "Another");
  input.addEventListener("change", () => input.checkValidity() && input.value && send(Number(input.value)));
  another.addEventListener("click", () => {
    input.value = Math.floor(Math.random() * 10000);
    send(Number(input.value));
  });
  return {
    row: element("div", { class: "take-row" }, element("label", { for: id }, label), input, another),
    show: (value) => {
      if (document.activeElement !== input && input.value !== String(value)) input.value = value;
    },
  };
}
