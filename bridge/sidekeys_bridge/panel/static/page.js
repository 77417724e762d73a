// Small words for building the page: elements, text that is read aloud, notices, names of keys.

export const byId = (id) => document.getElementById(id);

/** An element; attributes that are functions listen, and null or false ones are left out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** One of the pictures at the top of the page. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export const showIcon = (place, name) =>
  place.querySelector("use").setAttribute("href", `#icon-${name}`);

/** Changes text only where it differs: what is the same is not drawn or read again. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Read by a screen reader, when it has the time; also what it has read before. */
export function sayAloud(text) {
  byId("aloud").textContent = "";
  requestAnimationFrame(() => (byId("aloud").textContent = text));
}

let noticeTimer = 0;

/** A line at the bottom for some seconds: what could not be done, and what to do. */
export function notice(text) {
  clearTimeout(noticeTimer);
  byId("notice").textContent = text;
  noticeTimer = setTimeout(() => (byId("notice").textContent = ""), 4000 + 45 * text.length);
}

/** Calls once it was not asked for so long, with what was asked for last. */
export function later(milliseconds, call) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), milliseconds);
  };
}

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];

/** 60 is C4, as most DAWs write it. */
export const keyName = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

/** A composer's name, as a title. */
export const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1);

export const isBlack = (pitch) => [1, 3, 6, 8, 10].includes(pitch % 12);

export const minutes = (seconds) =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** The part of a slider before its thumb is filled. */
export function fill(slider) {
  const share = (slider.value - slider.min) / (slider.max - slider.min || 1);
  slider.style.setProperty("--filled", `${100 * share}%`);
}

/** A color of the theme that is on. */
export const color = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Fits a canvas to its place and the screen's pixels; its context, in CSS pixels. */
export function fitted(canvas, options) {
  const scale = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d", options);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

/** Writes a file where the browser puts downloads. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

/** A link to a .mid that can be clicked, or dragged into a DAW. */
export async function midiLink(blob, name) {
  const data = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(new Blob([blob], { type: "audio/midi" }));
  });
  return element(
    "a",
    {
      class: "file-link",
      href: data,
      download: name,
      draggable: "true",
      title: "Click to download, or drag it into the DAW",
      dragstart: (event) =>
        event.dataTransfer.setData("DownloadURL", `audio/midi:${name}:${data}`),
    },
    icon("file"),
    element("span", {}, name),
  );
}
