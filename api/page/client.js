// Calls of the API, in the session of the browser's cookies.

import { CSRF_COOKIE } from "./cookies.js";
import { makeStore } from "./store.js";

const ROOT = "/api/2.0";

/** The service refused; `point` is the field at fault, or null. */
export class Refused extends Error {
  constructor(status, message, point) {
    super(message);
    this.status = status;
    this.point = point;
  }
}

/** There was no answer, or none that can be read; `late` if it was waited for in vain. */
export class Unreachable extends Error {
  constructor(error, late = false) {
    super(String(error));
    this.late = late;
  }
}

/** How long an answer may take, to its last byte. */
export const ANSWER_S = 10;

/** The newest 401: the session has ended, or there was none. */
export const unauthorized = makeStore(null);

/** The CSRF token of the session that is shown; empty without one. */
let shown = "";

/** From now on show and do nothing in another session than that of the present cookies. */
export function pinSession() {
  shown = csrfToken();
}

export function unpinSession() {
  shown = "";
}

/** Whether another tab has logged in since: all tabs share the cookies, which may belong to another account now. */
function isOtherSession() {
  const now = csrfToken();
  return shown !== "" && now !== "" && now !== shown;
}

addEventListener("visibilitychange", () => isOtherSession() && location.reload());

/** The URL of a path of the API; parameters that are null or undefined are left out. */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString();
  return ROOT + path + (text ? `?${text}` : "");
}

export const get = (path, query) => call("GET", url(path, query));
export const post = (path, query, body = {}) => call("POST", url(path, query), body);

/** A key for a POST. (Pages over plain HTTP have no `randomUUID`.) */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

/** A POST that is executed once, however often it is sent with this key. */
export const postOnce = (key, path, query, body) => call("POST", url(path, query), body, { "Idempotency-Key": key });

/** A GET whose answer is not JSON. */
export async function getText(path) {
  return send(url(path), {}, (answer) => answer.text());
}

async function call(method, target, body, more = {}) {
  const headers = { Accept: "application/json", ...more };
  const options = { method, headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-CSRFToken"] = csrfToken();
    options.body = JSON.stringify(body);
  }
  return send(target, options, async (answer) => JSON.parse(await answer.text(), exactly));
}

/** Keep an integer that a number cannot hold, such as nanoseconds, as the text that came. */
function exactly(_name, value, context) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;
}

/** Send a request and read the answer, within a limit: a connection may be dead without an end. */
async function send(target, options, read) {
  if (isOtherSession()) return reloadPage();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), ANSWER_S * 1000);
  try {
    // Without this header the browser would answer a 401 with a login dialog of its own.
    const headers = { ...options.headers, "X-Requested-With": "XMLHttpRequest" };
    const answer = await fetch(target, { credentials: "same-origin", ...options, headers, signal: limit.signal });
    if (isOtherSession()) return reloadPage();
    if (!answer.ok) throw await refusal(answer);
    return await read(answer);
  } catch (error) {
    throw error instanceof Refused ? error : new Unreachable(error, limit.signal.aborted);
  } finally {
    clearTimeout(timer);
  }
}

/** Reload the page; never resolves. */
function reloadPage() {
  location.reload();
  return new Promise(() => {});
}

async function refusal(answer) {
  let message = answer.statusText;
  let point = null;
  try {
    const [first] = await answer.json();
    message = first.error_message;
    point = first.error_point;
  } catch {
    // A proxy may answer in its own format.
  }
  const refused = new Refused(answer.status, message, point);
  if (answer.status === 401) unauthorized.set(refused);
  return refused;
}

/** Whether this browser has logged in; the session itself may have ended since. */
export const hasLoggedIn = () => csrfToken() !== "";

function csrfToken() {
  const start = `${CSRF_COOKIE}=`;
  const found = document.cookie.split("; ").find((each) => each.startsWith(start));
  return found ? found.slice(start.length) : "";
}
