// Changes on their way to the bridge: sent together, and shown until the status confirms them.

import { notice } from "./page.js";
import { ask } from "./link.js";

const PAUSE_MS = 90;
const CONFIRM_MS = 1200;

const pending = new Map(); // by setting: what it becomes
let unsent = {};
let timer = 0;

/** Sets one setting or control of the bridge, soon. */
export function change(name, value) {
  pending.set(name, value);
  unsent[name] = value;
  clearTimeout(timer);
  timer = setTimeout(send, PAUSE_MS);
}

/** What a setting is or becomes; `told` is what the status says. */
export const present = (name, told) => (pending.has(name) ? pending.get(name) : told);

async function send() {
  const sent = unsent;
  unsent = {};
  try {
    await ask("set", sent);
  } catch (failure) {
    notice(failure.message);
    confirm(sent);
    return;
  }
  setTimeout(() => confirm(sent), CONFIRM_MS);
}

function confirm(sent) {
  for (const [name, value] of Object.entries(sent)) {
    if (pending.get(name) === value && !(name in unsent)) pending.delete(name);
  }
}

/** A status came: what it confirms is not pending any more. */
export function confirmWith(controls) {
  for (const [name, value] of pending) {
    if (controls[name] === value && !(name in unsent)) pending.delete(name);
  }
}
