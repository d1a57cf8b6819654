// The websocket: each frame names a resource that has changed, and shows it.
//
// The service says something at least every five seconds. A connection on which it has missed two
// beats may be dead without an end: the page says so, stops its clocks and connects anew. After a
// lost connection everything that is shown is read again: no frame has what happened meanwhile.

import { post, url } from "./client.js";
import { makeStore } from "./store.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** How long a connection may take to open. */
const OPEN_MS = 15_000;
/** After two beats, and what the way takes. */
const SILENT_MS = 11_000;
const BEAT = "beat";

/** "live", "connecting" or "lost". */
export const connection = makeStore("connecting");
/** For how many seconds the service has not been heard; 0 while it is heard in time. */
export const silence = makeStore(0);
/** Whether what is shown as current may be outdated. */
export const stale = makeStore(false);
/** The time by which ages are shown; it stands still while what is shown may be outdated. */
export const clock = makeStore(Date.now());

const listeners = new Set();
const readers = new Set();
let socket = null;
let wanted = false;
let attempt = 0;
let pause = FIRST_PAUSE_MS;
let timer = 0;
let heardAt = Date.now();
let replacing = false;
let opened = 0;

setInterval(() => {
  const now = Date.now();
  const silent = wanted && now - heardAt > SILENT_MS;
  silence.set(silent ? Math.floor((now - heardAt) / 1000) : 0);
  stale.set(silent);
  if (!silent) clock.set(now);
  if (!silent || replacing || connection.get() !== "live") return;
  replacing = true;
  open();
}, 1000);

/** Call `listener` with each frame; return a function that ends that. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Call `reader` whenever frames may have been missed; return a function that ends that. */
export function onGap(reader) {
  readers.add(reader);
  return () => readers.delete(reader);
}

export function begin() {
  wanted = true;
  heard();
  opened = 0;
  pause = FIRST_PAUSE_MS;
  connection.set("connecting");
  open();
}

export function end() {
  wanted = false;
  attempt += 1;
  clearTimeout(timer);
  leave();
}

addEventListener("online", () => {
  if (wanted && connection.get() !== "live") retry(0);
});

/** Open a connection that replaces the present one; of several attempts the newest counts. */
async function open() {
  const number = (attempt += 1);
  const counts = () => wanted && number === attempt;
  const fail = () => counts() && retry();
  clearTimeout(timer);
  timer = setTimeout(fail, OPEN_MS);
  try {
    await post("/accounts/action/", { do: "authenticate_asynchronous" });
  } catch {
    fail();
    return;
  }
  if (!counts()) return;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const fresh = new WebSocket(`${scheme}://${location.host}${url("/websocket", { beats: 1 })}`);
  fresh.onopen = () => {
    if (!counts()) {
      fresh.close();
      return;
    }
    clearTimeout(timer);
    leave();
    socket = fresh;
    pause = FIRST_PAUSE_MS;
    heard();
    // Also the first time: something may have changed between the first read and the first frame.
    opened += 1;
    for (const reader of [...readers]) reader();
    connection.set("live");
  };
  fresh.onmessage = (event) => {
    if (socket !== fresh) return;
    heard();
    const frame = JSON.parse(event.data);
    if (frame.resource_type === BEAT) return;
    for (const listener of [...listeners]) listener(frame);
  };
  fresh.onclose = () => {
    if (socket === fresh) leave();
    fail();
  };
}

function leave() {
  socket?.close();
  socket = null;
}

function heard() {
  heardAt = Date.now();
  replacing = false;
}

function retry(after = pause * (0.5 + Math.random())) {
  leave();
  attempt += 1;
  replacing = false;
  connection.set(opened ? "lost" : "connecting");
  clearTimeout(timer);
  timer = setTimeout(open, after);
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
}
