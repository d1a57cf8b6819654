// Small pieces that all views are made of.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { to } from "./address.js";
import { Refused, Unreachable, post } from "./client.js";
import { Unable } from "./proofs.js";
import { makeStore, useStore } from "./store.js";
import { bytes, duration, fromInput, local, number, plain, secondsSince, toInput, utc, visible } from "./words.js";

const TITLE_MOST = 500;
const MARKS = { started: "▶", success: "✓", failed: "✗", cancelled: "⊘" };

const clock = makeStore(Date.now());
setInterval(() => clock.set(Date.now()), 1000);

/** The view's heading, and the document's title; it has the focus after a link was followed. */
export function Heading({ children }) {
  useEffect(() => {
    document.title = `${document.querySelector("h1").textContent} · Job Ledger`;
  });
  return html`<h1 tabindex="-1">${children}</h1>`;
}

export const State = ({ state }) =>
  html`<span class=${`state state-${state}`}><span aria-hidden="true">${MARKS[state] ?? "•"}</span> ${plain(state)}</span>`;

/** A text of somebody's, whatever is in it. */
export function Name({ text }) {
  const shown = visible(text);
  return html`<bdi class="name" title=${shown.slice(0, TITLE_MOST)}>${shown || "(no name)"}</bdi>`;
}

/** A job, drive or server by the beginning and end of its uuid: those made at one time begin alike. */
export const Link = ({ kind, uuid, owner, children }) =>
  html`<a href=${to(`/${kind}/${uuid}`, owner ? { owner } : {})} title=${uuid}>${children ?? html`<code>${uuid.slice(0, 8)}…${uuid.slice(-6)}</code>`}</a>`;

/** Those of a job's resources, or a resource's jobs. */
export const Links = ({ uris }) =>
  uris.length
    ? uris.map((uri, nth) => {
        const [, , , kind, uuid] = uri.split("/");
        return html`${nth ? ", " : ""}${kind === "jobs" ? "" : `${kind.slice(0, -1)} `}<${Link} kind=${kind} uuid=${uuid} />`;
      })
    : html`<span class="faint">none</span>`;

export const Moment = ({ at }) => html`<time datetime=${at} title=${utc(at)}>${local(at)}</time>`;

/** A field whose value is taken once it is whole; what is typed meanwhile stays, whatever is drawn anew around it. */
export function Field({ value, take, ...more }) {
  const input = useRef();
  const settled = useRef();
  useEffect(() => {
    input.current.value = value ?? "";
    // As the browser writes it: a moment loses its seconds if there are none.
    settled.current = input.current.value;
  }, [value]);
  const settle = () => {
    // One that is taken away while it has the focus is left, too.
    const given = input.current?.value.trim() ?? settled.current;
    if (given === settled.current) return;
    settled.current = given;
    take(given);
  };
  // No change is listened to: of a moment that is typed each key is one.
  return html`<input ...${more} ref=${input} onBlur=${settle} onKeyDown=${(event) => event.key === "Enter" && settle()} />`;
}

/** Picks a moment. */
export const MomentField = ({ value, take }) =>
  html`<${Field} type="datetime-local" step="1" value=${toInput(value)} take=${(text) => take(fromInput(text))} />`;

/** How long ago it was, from second to second. */
export function Age({ at }) {
  useStore(clock);
  return html`<time datetime=${at} title=${utc(at)}>${duration(secondsSince(at))} ago</time>`;
}

export function Progress({ job, label }) {
  const { progress } = job.data;
  return html`<span class="progress">
    <progress class=${`bar-${job.state}`} max="100" value=${progress} aria-label=${label ?? "Progress"}></progress>
    <span>${progress} %</span>
  </span>`;
}

/** Bytes, rate and time left of a running copy. */
export function Figures({ job }) {
  const { bytes_done: done, bytes_total: total, bytes_per_s: rate, eta_s: left, error, worker_lost: lost } = job.data;
  if (error) return html`<span class="error">${visible(error)}</span>`;
  if (lost) return html`<strong class="error">worker lost, waits for another</strong>`;
  if (total === undefined) return null;
  return html`<span class="figures">
    ${bytes(done)} of ${bytes(total)}${rate ? html`, ${bytes(rate)}/s` : ""}${left === null ? "" : html`, ${duration(left)} left`}
  </span>`;
}

/** Columns are [title, what a row shows, class of the cell]; narrow windows show rows as cards. */
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

/** Pairs of a word and what it is. */
export const Facts = ({ facts }) =>
  html`<dl class="facts">${facts.map(([word, what]) => html`<div><dt>${word}</dt><dd>${what}</dd></div>`)}</dl>`;

const WORDS = {
  401: "You are not logged in any more.",
  403: "Your account may not see or do this. An operator can give it another role.",
  404: "It is not here. It may have been deleted, or its history is over (completed jobs are kept for a while only).",
  429: "Too many attempts. Wait a little, then try again.",
  503: "The ledger cannot be reached just now. It is worth trying again in a moment.",
};

/** Of what somebody did: the service says why, and that is not always what somebody may. */
const WORDS_OF_ACTIONS = {
  403: "The service refused this.",
  503: "This could not be done just now. Look whether it was done after all before you try again.",
};

/** What went wrong in words of its own, and the way on; `did` if somebody wanted something changed. */
export function Trouble({ error, again, did }) {
  if (!error) return null;
  let words = "The page did something wrong.";
  if (error instanceof Unreachable) words = "No answer from the service: it may be stopped, or the network is away.";
  else if (error instanceof Unable) words = "This browser cannot do that here.";
  else if (error instanceof Refused) words = (did && WORDS_OF_ACTIONS[error.status]) ?? WORDS[error.status] ?? "The service refused this.";
  const said = error instanceof Unreachable ? "" : visible(error.message);
  return html`<div class="trouble" role="alert">
    <p><strong>${words}</strong>${said && html`<br /><span class="said">${said}</span>`}</p>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** What was read, its error, or that it is on its way. */
export function Loaded({ read, children }) {
  if (read.error && read.body === undefined) return html`<${Trouble} error=${read.error} again=${read.again} />`;
  if (read.body === undefined) return html`<p class="empty" role="status">Loading …</p>`;
  return html`${read.error && html`<${Trouble} error=${read.error} again=${read.again} />`}${children(read.body)}`;
}

/** A button that does something once, tells what went wrong, and asks first if it should. */
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

/** The keyboard and a screen reader go on at the heading if what had the focus is gone. */
export const keepFocus = () =>
  requestAnimationFrame(() =>
    requestAnimationFrame(() => document.activeElement === document.body && document.querySelector("h1")?.focus()),
  );

/** Cancels a running job, once that was confirmed. */
export const Cancel = ({ job, then }) =>
  job.state === "started" &&
  html`<${Act} kind="danger" sure="Cancel this job, and remove what it has made?" does=${async () => {
    await post(`/jobs/${job.uuid}/action/`, { do: "cancel" });
    await then();
  }}>Cancel<//>`;

export const counted = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
