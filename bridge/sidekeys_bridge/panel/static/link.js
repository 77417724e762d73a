// The way to the bridge: a websocket that comes back by itself, and HTTP calls with the key.

const SHORTEST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 3000;
const REPLY_MS = 10000;
const SLOW_REPLY_MS = 35000; // the panel itself gives the bridge 30 s for these
const SLOW = ["set", "inputs", "ports", "load-checkpoint", "keep", "record"];
const REFUSED = 4401;
const KEY = "sidekeys-key";
const A_KEY = /^[\w-]{32,}$/;

let token = "";
let socket = null;
let pauseMs = SHORTEST_PAUSE_MS;
let retryTimer = 0;
let lastId = 0;
const waiting = new Map();
const listeners = new Map();

/** Calls with the content of every message of that type. */
export function on(type, call) {
  if (!listeners.has(type)) listeners.set(type, []);
  listeners.get(type).push(call);
}

/** Tells whoever listens. Own types: "link" with open, lost or refused. */
export function tell(type, content) {
  for (const call of listeners.get(type) ?? []) call(content);
}

/** Takes the key out of the address, so that nobody reads it over a shoulder, and connects. */
export function start() {
  takeKey();
  addEventListener("hashchange", () => {
    if (keyInAddress()) {
      takeKey();
      reconnect();
    }
  });
  addEventListener("online", reconnect);
  document.addEventListener("visibilitychange", () => document.hidden || socket || reconnect());
  reconnect();
}

/** The key that the address ends with; empty where it ends with something else. */
function keyInAddress() {
  const end = location.hash.slice(1);
  return A_KEY.test(end) ? end : "";
}

function takeKey() {
  const given = keyInAddress();
  for (const name of ["sessionStorage", "localStorage"]) {
    try {
      if (given) window[name].setItem(KEY, given);
      else token ||= window[name].getItem(KEY) ?? "";
    } catch {
      // A browser that keeps nothing; the key lasts as long as the page.
    }
  }
  if (given) {
    token = given;
    history.replaceState(null, "", location.pathname + location.search);
  }
}

function reconnect() {
  clearTimeout(retryTimer);
  const old = socket;
  socket = null;
  old?.close();
  if (!token) {
    tell("link", "refused");
    return;
  }
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = new WebSocket(`${scheme}://${location.host}/live`);
  socket = opened;
  opened.onopen = () => {
    opened.send(JSON.stringify({ type: "hello", id: "0", content: { token } }));
  };
  opened.onmessage = (event) => {
    if (opened !== socket) return;
    const message = JSON.parse(event.data);
    if (message.type === "bridge") {
      pauseMs = SHORTEST_PAUSE_MS;
      tell("link", "open");
    }
    if (waiting.has(message.id) && (message.type === "ok" || message.type === "error")) {
      answer(message);
    } else {
      tell(message.type, message.content);
    }
  };
  opened.onclose = (event) => {
    if (opened !== socket) return;
    socket = null;
    for (const { refuse, timer } of waiting.values()) {
      clearTimeout(timer);
      refuse(new Error("The connection was lost; try again when it is back."));
    }
    waiting.clear();
    tell("link", event.code === REFUSED ? "refused" : "lost");
    if (event.code === REFUSED) return;
    retryTimer = setTimeout(reconnect, pauseMs);
    pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
  };
}

function answer({ type, id, content }) {
  const { accept, refuse, timer } = waiting.get(id);
  waiting.delete(id);
  clearTimeout(timer);
  if (type === "ok") accept(content);
  else refuse(new Error(sentence(content.message)));
}

/** Has a command done; resolves with the content of its reply, or fails with words for the user. */
export function ask(type, content = {}) {
  if (socket?.readyState !== WebSocket.OPEN) {
    return Promise.reject(new Error("Sidekeys is not connected. It is tried again and again."));
  }
  const id = String(++lastId);
  socket.send(JSON.stringify({ type, id, content }));
  return new Promise((accept, refuse) => {
    const timer = setTimeout(() => {
      waiting.delete(id);
      refuse(new Error("There was no answer; try again."));
    }, SLOW.includes(type) ? SLOW_REPLY_MS : REPLY_MS);
    waiting.set(id, { accept, refuse, timer });
  });
}

/** A call over HTTP; the response, or an error with words for the user. */
export async function call(path, { method = "GET", json } = {}) {
  const headers = { Authorization: `Bearer ${token}` };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: json && JSON.stringify(json) });
  } catch {
    throw new Error("Sidekeys is not connected. It is tried again and again.");
  }
  if (response.ok) return response;
  throw await failure(response.status, () => response.json());
}

/** Sends a file; tells how much of it is there, from 0 to 1. */
export function upload(path, file, tellShare) {
  const request = new XMLHttpRequest();
  request.open("POST", path);
  request.setRequestHeader("Authorization", `Bearer ${token}`);
  request.upload.onprogress = (event) => tellShare(event.loaded / event.total);
  return new Promise((accept, refuse) => {
    request.onload = async () => {
      if (request.status < 300) accept(JSON.parse(request.responseText));
      else refuse(await failure(request.status, () => JSON.parse(request.responseText)));
    };
    request.onerror = () =>
      refuse(new Error("The file could not be sent: Sidekeys is not connected. Choose it again."));
    request.send(file);
  });
}

async function failure(status, read) {
  let words = `It could not be done (${status}).`;
  let content = {};
  try {
    content = await read();
    words = sentence(content.message) || words;
  } catch {
    // No words; the status must do.
  }
  return Object.assign(new Error(words), { status, content });
}

/** Words of the bridge begin small and may lack a full stop. */
export function sentence(words) {
  const text = String(words ?? "").trim();
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.?!…]$/.test(text) ? "" : ".");
}
