// Calls of the API, in the session that the browser's cookies are of.

const ROOT = "/api/2.0";

/** The service said no; `point` is the field that it is about, or null. */
export class Refused extends Error {
  constructor(status, message, point) {
    super(message);
    this.status = status;
    this.point = point;
  }
}

/** No answer came. */
export class Unreachable extends Error {}

/** The URL of something below the API's root; what is null or undefined is left out. */
export function url(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const said = new URLSearchParams(given).toString();
  return ROOT + path + (said ? `?${said}` : "");
}

export const get = (path, query) => call("GET", url(path, query));
export const post = (path, query, body = {}) => call("POST", url(path, query), body);

/** A GET whose answer is no JSON. */
export async function getText(path) {
  const answer = await fetched(url(path), {});
  if (!answer.ok) throw await refusal(answer);
  return answer.text();
}

async function call(method, target, body) {
  const headers = { Accept: "application/json" };
  const asked = { method, headers };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-CSRFToken"] = csrfToken();
    asked.body = JSON.stringify(body);
  }
  const answer = await fetched(target, asked);
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

async function fetched(target, asked) {
  try {
    // Without this header a 401 would make the browser ask for a login with a box of its own.
    const headers = { ...asked.headers, "X-Requested-With": "XMLHttpRequest" };
    return await fetch(target, { credentials: "same-origin", ...asked, headers });
  } catch (error) {
    throw new Unreachable(String(error));
  }
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
  return new Refused(answer.status, message, point);
}

/** Whether this browser has logged in; the session itself may have ended since. */
export const hasLoggedIn = () => csrfToken() !== "";

function csrfToken() {
  const found = document.cookie.split("; ").find((each) => each.startsWith("csrftoken="));
  return found ? found.slice("csrftoken=".length) : "";
}
