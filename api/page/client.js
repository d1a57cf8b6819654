// Calls of the API, in the session that the browser's cookies are of.

import { makeStore } from "./store.js";

const ROOT = "/api/2.0";

/** The service said no; `point` is the field that it is about, or null. */
export class Refused extends Error {
  constructor(status, message, point) {
    super(message);
    this.status = status;
    this.point = point;
  }
}

/** No answer came, or none that can be read. */
export class Unreachable extends Error {}

/** The newest 401: nobody is logged in, or not any more. */
export const unauthorized = makeStore(null);

/** The csrf token of the session that is shown; empty as long as none is. */
let shown = "";

/** From now on nothing is shown or done in another session than that of the cookies as they are. */
export function hold() {
  shown = csrfToken();
}

export function letGo() {
  shown = "";
}

/** Whether another tab has logged in since: the cookies are of all tabs, and may be of another account now. */
function isAnothers() {
  const now = csrfToken();
  return shown !== "" && now !== "" && now !== shown;
}

addEventListener("visibilitychange", () => isAnothers() && location.reload());

/** The URL of something below the API's root; what is null or undefined is left out. */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const said = new URLSearchParams(given).toString();
  return ROOT + path + (said ? `?${said}` : "");
}

export const get = (path, query) => call("GET", url(path, query));
export const post = (path, query, body = {}) => call("POST", url(path, query), body);

/** A key for a POST. (`randomUUID` is not there for pages that come by plain HTTP.) */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

/** A POST that does what it does once, however often it is sent with this key. */
export const postOnce = (key, path, query, body) => call("POST", url(path, query), body, { "Idempotency-Key": key });

/** A GET whose answer is no JSON. */
export async function getText(path) {
  const answer = await fetched(url(path), {});
  if (!answer.ok) throw await refusal(answer);
  return answer.text();
}

async function call(method, target, body, more = {}) {
  const headers = { Accept: "application/json", ...more };
  const asked = { method, headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-CSRFToken"] = csrfToken();
    asked.body = JSON.stringify(body);
  }
  const answer = await fetched(target, asked);
  if (!answer.ok) throw await refusal(answer);
  try {
    return await answer.json();
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

async function fetched(target, asked) {
  if (isAnothers()) return begunAnew();
  try {
    // Without this header a 401 would make the browser ask for a login with a box of its own.
    const headers = { ...asked.headers, "X-Requested-With": "XMLHttpRequest" };
    const answer = await fetch(target, { credentials: "same-origin", ...asked, headers });
    return isAnothers() ? begunAnew() : answer;
  } catch (error) {
    throw new Unreachable(String(error));
  }
}

/** Never answers: the page goes away. */
function begunAnew() {
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
    // A proxy in between may answer in its own way.
  }
  const refused = new Refused(answer.status, message, point);
  if (answer.status === 401) unauthorized.set(refused);
  return refused;
}

/** Whether this browser has logged in; the session itself may have ended since. */
export const hasLoggedIn = () => csrfToken() !== "";

function csrfToken() {
  const found = document.cookie.split("; ").find((each) => each.startsWith("csrftoken="));
  return found ? found.slice("csrftoken=".length) : "";
}
