// The components that all views share.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { to } from "./address.js";
import { ANSWER_S, Refused, Unreachable, post } from "./client.js";
import { Unable } from "./proofs.js";
import { clock, stale } from "./live.js";
import { useStore } from "./store.js";
import { bytes, duration, fromInput, local, number, plain, toInput, utc, visible } from "./words.js";

const TITLE_LENGTH_MAX = 500;
const MARKS = { started: "▶", success: "✓", failed: "✗", cancelled: "⊘" };

/** The view's heading and the document's title; it gets the focus after a link was followed. */
export function Heading({ children }) {
  useEffect(() => {
    document.title = `${document.querySelector("h1").textContent} · Job Ledger`;
  });
  return html`<h1 tabindex="-1">${children}</h1>`;
}

export const State = ({ state }) =>
  html`<span class=${`state state-${state}`}><span aria-hidden="true">${MARKS[state] ?? "•"}</span> ${plain(state)}</span>`;

/** A text from a user, whatever it contains. */
export function Name({ text }) {
  const shown = visible(text);
  return html`<bdi class="name" title=${shown.slice(0, TITLE_LENGTH_MAX)}>${shown || "(no name)"}</bdi>`;
}

/** A job, drive or server by both ends of its uuid: uuids made at the same time begin alike. */
export const Link = ({ kind, uuid, owner, children }) =>
  html`<a href=${to(`/${kind}/${uuid}`, owner ? { owner } : {})} title=${uuid}>${children ?? html`<code>${uuid.slice(0, 8)}…${uuid.slice(-6)}</code>`}</a>`;

/** Links to a job's resources, or to a resource's jobs. */
export const Links = ({ uris }) =>
  uris.length
    ? uris.map((uri, index) => {
        const [, , , kind, uuid] = uri.split("/");
        return html`${index ? ", " : ""}${kind === "jobs" ? "" : `${kind.slice(0, -1)} `}<${Link} kind=${kind} uuid=${uuid} />`;
      })
    : html`<span class="faint">none</span>`;

export const Moment = ({ at }) => html`<time datetime=${at} title=${utc(at)}>${local(at)}</time>`;

/** A field that passes its value on once it is complete; redrawing the view keeps what is being typed. */
export function Field({ value, take, ...more }) {
  const input = useRef();
  const settled = useRef();
  // Before the browser shows it: later, it would replace what somebody has begun to type.
  useLayoutEffect(() => {
    input.current.value = value ?? "";
    // As the browser writes it: a time without seconds loses them.
    settled.current = input.current.value;
  }, [value]);
  const settle = () => {
    // The field may be removed while it has the focus.
    const given = input.current?.value.trim() ?? settled.current;
    if (given === settled.current) return;
    settled.current = given;
    take(given);
  };
  // Not on `change`: while a time is typed, each key is one.
  return html`<input ...${more} ref=${input} onBlur=${settle} onKeyDown=${(event) => event.key === "Enter" && settle()} />`;
}

/** A field for a time. */
export const MomentField = ({ value, take }) =>
  html`<${Field} type="datetime-local" step="1" value=${toInput(value)} take=${(text) => take(fromInput(text))} />`;

/** How long ago it was, updated every second while the service is heard. */
export function Age({ at }) {
  const now = useStore(clock);
  return html`<time datetime=${at} title=${utc(at)}>${duration((now - Date.parse(at)) / 1000)} ago</time>`;
}

/** The newest change of a job and of all below it. */
export const lastChange = (job) => job.children.map(lastChange).reduce((newest, at) => (at > newest ? at : newest), job.last_modified);

export function Progress({ job, label }) {
  const { progress } = job.data;
  return html`<span class="progress">
    <progress class=${`bar-${job.state}`} max="100" value=${progress} aria-label=${label ?? "Progress"}></progress>
    <span>${progress} %</span>
  </span>`;
}

/** Bytes, rate and time left of a running copy, or what is wrong or odd with a job; what is unknown is left out. */
export function Figures({ job }) {
  const { bytes_done: done, bytes_per_s: rate, eta_s: left, error, skipped, lost, worker_lost: workerLost, phase } = job.data;
  const outdated = useStore(stale);
  if (error) return html`<span class="error">${visible(error)}</span>`;
  if (skipped) return html`<span class="figures">skipped: there was nothing to do</span>`;
  if (lost) return html`<strong class="error">${job.children.some((child) => child.data.lost) ? "a sub-job is lost" : "lost: nothing is heard of it"}</strong>`;
  if (workerLost) return html`<strong class="error">worker lost, waiting for another</strong>`;
  if (done === undefined) return phase === "waiting" && html`<span class="figures">waiting</span>`;
  const parts = [copied(job.data)];
  if (outdated) return html`<span class="figures">${parts[0]} when last heard</span>`;
  if (phase === "waiting") parts.push("waiting");
  if (rate) parts.push(`${bytes(rate)}/s`);
  if (left) parts.push(`${duration(left)} left`);
  return html`<span class="figures">${parts.join(", ")}</span>`;
}

/** How much was copied or, while that is done, verified. */
function copied({ phase, bytes_done: done, bytes_verified: verified, bytes_total: total }) {
  const verifies = phase === "verifying" && verified !== undefined;
  const amount = bytes(verifies ? verified : done);
  return `${total === null ? amount : `${amount} of ${bytes(total)}`}${verifies ? " verified" : ""}`;
}

/** Columns are [title, a row's content, class of the cell]; narrow windows show rows as cards. */
export function Table({ label, columns, rows, keyOf, empty }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`<table class="list" role="table" aria-label=${label}>
    <thead role="rowgroup"><tr role="row">${columns.map(([title]) => html`<th role="columnheader" scope="col">${title}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map(
      (row) => html`<tr role="row" key=${keyOf(row)}>${columns.map(
        ([title, cell, kind]) => html`<td role="cell" class=${kind} data-label=${title}><div>${cell(row)}</div></td>`,
      )}</tr>`,
    )}</tbody>
  </table>`;
}

/** Names and values. */
export const Facts = ({ facts }) =>
  html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

const WORDS = {
  401: "Your session has ended.",
  403: "Your account may not see this. An operator can give it another role.",
  404: "Not found. It may have been deleted, or it is a completed job that has been discarded.",
  429: "Too many attempts. Wait a little, then try again.",
  503: "The ledger cannot be reached at the moment. Try again soon.",
};

/** For actions: the service gives the reason, which is not always a lack of permission. */
const WORDS_OF_ACTIONS = {
  403: "The service refused this.",
  503: "This failed for the moment. Check whether it was done after all before you try again.",
};

function unanswered(error, did) {
  const fact = error.late ? `The service has not answered for ${ANSWER_S} s` : "The service does not answer";
  const advice = did ? " Check whether this was done after all before you try again." : "";
  return `${fact}: it may be stopped, or the network is down.${advice}`;
}

/** What went wrong, and what to do; `did` after an action. */
export function Trouble({ error, again, did }) {
  if (!error) return null;
  let words = "The page has made an error.";
  if (error instanceof Unreachable) words = unanswered(error, did);
  else if (error instanceof Unable) words = "This browser cannot do this.";
  else if (error instanceof Refused) words = (did && WORDS_OF_ACTIONS[error.status]) ?? WORDS[error.status] ?? "The service refused this.";
  const details = error instanceof Unreachable ? "" : visible(error.message);
  return html`<div class="trouble" role="alert">
    <p><strong>${words}</strong>${details && html`<br /><span class="reason">${details}</span>`}</p>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** The content that was read, its error, or a note that it is loading. */
export function Loaded({ read, children }) {
  if (read.error && read.body === undefined) return html`<${Trouble} error=${read.error} again=${read.again} />`;
  if (read.body === undefined) return html`<p class="empty" role="status">Loading …</p>`;
  return html`${read.error && html`<${Trouble} error=${read.error} again=${read.again} />`}${children(read.body)}`;
}

/** A button that acts once, shows what went wrong, and asks first if `sure` is a question. */
export function Act({ does, sure, children, kind = "" }) {
  const [state, setState] = useState({});
  const act = async () => {
    if (state.busy || (sure && !confirm(sure))) return;
    setState({ busy: true });
    try {
      await does();
      setState({});
      keepFocus();
    } catch (error) {
      setState({ error });
    }
  };
  return html`<button type="button" class=${kind} aria-disabled=${state.busy} onClick=${act}>${children}</button>
    <${Trouble} error=${state.error} did />`;
}

/** Move the focus to the heading if the focused element is gone. */
export const keepFocus = () =>
  requestAnimationFrame(() =>
    requestAnimationFrame(() => document.activeElement === document.body && document.querySelector("h1")?.focus()),
  );

/** Cancel a running job, after a confirmation. */
export const Cancel = ({ job, then }) =>
  job.state === "started" &&
  html`<${Act} kind="danger" sure=${job.data.source ? "Ask this job to stop?" : "Cancel this job and remove what it has made?"} does=${async () => {
    await post(`/jobs/${job.uuid}/action/`, { do: "cancel" });
    await then();
  }}>Cancel<//>`;

export const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
