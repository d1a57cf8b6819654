// The websocket: each frame names a resource that has changed, and shows it.
//
// After a lost connection everything that is shown is read again: no frame has what happened
// meanwhile.

import { post, url } from "./client.js";
import { makeStore } from "./store.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** How long a connection may take to open. */
const OPEN_MS = 15_000;
/** A connection that is silent for so long may be dead; or nothing happens. */
const QUIET_MS = 60_000;

/** "live", "connecting" or "lost". */
export const connection = makeStore("connecting");

const listeners = new Set();
const readers = new Set();
let socket = null;
let wanted = false;
let attempt = 0;
let pause = FIRST_PAUSE_MS;
let timer = 0;
let quiet = 0;
let opened = 0;

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
  const fresh = new WebSocket(`${scheme}://${location.host}${url("/websocket")}`);
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
    for (const listener of [...listeners]) listener(frame);
  };
  fresh.onclose = () => {
    if (socket === fresh) leave();
    fail();
  };
}

function leave() {
  clearTimeout(quiet);
  socket?.close();
  socket = null;
}

/** A second connection in time loses nothing, so the page shows it only if it fails. */
function heard() {
  clearTimeout(quiet);
  quiet = setTimeout(open, QUIET_MS);
}

function retry(after = pause * (0.5 + Math.random())) {
  leave();
  attempt += 1;
  connection.set(opened ? "lost" : "connecting");
  clearTimeout(timer);
  timer = setTimeout(open, after);
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
}
