// The websocket: each frame names a resource that has changed, and shows it.
//
// Whenever the connection was gone, everything that is shown is read anew once it is back: what
// happened meanwhile is in no frame.

import { post } from "./client.js";
import { note } from "./session.js";
import { makeStore } from "./store.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** What has said nothing for so long may be gone without a word. */
const QUIET_MS = 60_000;

/** "live", "connecting" or "lost". */
export const connection = makeStore("connecting");

const listeners = new Set();
const readers = new Set();
let socket = null;
let wanted = false;
let pause = FIRST_PAUSE_MS;
let timer = 0;
let quiet = 0;
let opened = 0;

/** Calls `listener` with each frame; returns what ends that. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Calls `reader` whenever frames may have been missed; returns what ends that. */
export function onGap(reader) {
  readers.add(reader);
  return () => readers.delete(reader);
}

export function begin() {
  wanted = true;
  open();
}

export function end() {
  wanted = false;
  clearTimeout(timer);
  socket?.close();
}

addEventListener("online", () => {
  if (wanted && connection.get() !== "live") retry(0);
});

async function open() {
  clearTimeout(timer);
  connection.set(opened ? "lost" : "connecting");
  try {
    await post("/accounts/action/", { do: "authenticate_asynchronous" });
  } catch (error) {
    note(error);
    retry();
    return;
  }
  if (!wanted || socket) return;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/api/2.0/websocket`);
  socket.onopen = () => {
    pause = FIRST_PAUSE_MS;
    heard();
    // Also the first time: a change may lie between what was read and the first frame.
    opened += 1;
    for (const reader of [...readers]) reader();
    connection.set("live");
  };
  socket.onmessage = (event) => {
    heard();
    const frame = JSON.parse(event.data);
    for (const listener of [...listeners]) listener(frame);
  };
  socket.onclose = () => {
    clearTimeout(quiet);
    socket = null;
    retry();
  };
}

function heard() {
  clearTimeout(quiet);
  quiet = setTimeout(() => socket?.close(), QUIET_MS);
}

function retry(after = pause * (0.5 + Math.random())) {
  if (!wanted) return;
  connection.set(opened ? "lost" : "connecting");
  clearTimeout(timer);
  timer = setTimeout(open, after);
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
}
