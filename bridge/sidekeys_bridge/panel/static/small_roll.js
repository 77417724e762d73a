// Small pictures of notes: on a composer's card, and under each other to compare parts.

import { color, fitted } from "./page.js";

/** Draws notes {onset, up, pitch, velocity} between two moments; bars are moments of bar lines. */
export function drawNotes(canvas, notes, from, to, { bars = [], range = null, noteColor } = {}) {
  if (canvas.clientWidth === 0) return;
  const context = fitted(canvas);
  const { clientWidth: width, clientHeight: height } = canvas;
  context.clearRect(0, 0, width, height);
  const xOf = (moment) => ((moment - from) / (to - from)) * width;
  context.fillStyle = color("roll-beat");
  for (const bar of bars) context.fillRect(Math.round(xOf(bar)), 0, 1, height);
  if (notes.length === 0) return;
  const [lowest, highest] = range ?? rangeOf(notes);
  const row = height / (highest - lowest + 1);
  const thickness = Math.max(0.85 * row, 2.4);
  context.fillStyle = noteColor ?? color("note");
  for (const { onset, up, pitch, velocity } of notes) {
    if (up < from || onset > to) continue;
    context.globalAlpha = 0.4 + (0.6 * (velocity ?? 80)) / 127;
    const x = xOf(onset);
    const y = (highest - pitch) * row + (row - thickness) / 2;
    context.fillRect(x, y, Math.max(xOf(up) - x - 0.5, 1.2), thickness);
  }
  context.globalAlpha = 1;
}

/** Lowest and highest key, with some room. */
export function rangeOf(notes) {
  const pitches = notes.map((note) => note.pitch);
  const lowest = pitches.reduce((one, other) => Math.min(one, other), 127);
  const highest = pitches.reduce((one, other) => Math.max(one, other), 0);
  const room = Math.max(24 - (highest - lowest), 2) / 2;
  return [lowest - room, highest + room];
}

/** Draws how loud a sound is: its peaks, one a column. */
export function drawWave(canvas, peaks) {
  if (canvas.clientWidth === 0) return;
  const context = fitted(canvas);
  const { clientWidth: width, clientHeight: height } = canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = color("heard");
  context.globalAlpha = 0.8;
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x / width) * peaks.length);
    const last = Math.max(Math.ceil(((x + 1) / width) * peaks.length), first + 1);
    let peak = 0;
    for (let at = first; at < last; at++) peak = Math.max(peak, peaks[at] ?? 0);
    const tall = Math.max(peak * (height - 8), 1);
    context.fillRect(x, (height - tall) / 2, 1, tall);
  }
}

/** The loudest sample of each of so many pieces of a decoded sound. */
export function peaksOf(buffer, count = 2000) {
  const peaks = new Float32Array(count);
  const data = buffer.getChannelData(0);
  const size = data.length / count;
  for (let piece = 0; piece < count; piece++) {
    const last = Math.min((piece + 1) * size, data.length);
    for (let at = Math.floor(piece * size); at < last; at += 3) {
      peaks[piece] = Math.max(peaks[piece], Math.abs(data[at]));
    }
  }
  return peaks;
}
