// A job: its tree with progress, figures and the age of the last report, and its timeline.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { addressWith, useAddress, viewedOwner } from "./address.js";
import { url } from "./client.js";
import { Age, Cancel, Facts, Figures, Heading, Link, Links, Loaded, Moment, Progress, State, Table, counted, lastChange } from "./parts.js";
import { AsOf, PastNote } from "./past.js";
import { useFrames, useRead, useThrottled } from "./read.js";
import { duration, plain, title, valueInWords, visible } from "./words.js";

/** So many events are shown at first, and all of them on demand. */
const EVENTS = 50;
const ALL = 0;

export function JobPage({ uuid }) {
  const { query } = useAddress();
  const asOf = query.get("as_of");
  const read = useRead(`/jobs/${uuid}/`, { as_of: asOf });
  const uri = url(`/jobs/${uuid}/`);
  useFrames((frames) => {
    const newest = frames.filter((frame) => frame.resource_uri === uri).at(-1);
    if (newest?.object) read.put(() => newest.object);
    else if (newest) read.again();
  }, Boolean(asOf));
  return html`
    <${Heading}>Job <code>${uuid}</code><//>
    <${PastNote} />
    <${Loaded} read=${read}>${(job) => html`<${Job} job=${job} past=${asOf} again=${read.again} />`}<//>
    <${Timeline} uuid=${uuid} job=${read.body} past=${asOf} />
  `;
}

function Job({ job, past, again }) {
  const running = job.state === "started";
  const ended = job.data.ended ?? job.last_modified;
  const took = (Date.parse(ended) - Date.parse(job.created)) / 1000;
  return html`
    <section class="card" aria-label="The job">
      <${Facts} facts=${[
        ["State", html`<${State} state=${job.state} />`],
        ["Operation", title(job.operation)],
        ...(job.data.source ? [["Producer", visible(job.data.source)]] : []),
        ["Progress", html`<${Progress} job=${job} /> <${Figures} job=${job} />`],
        ["Resources", html`<${Links} uris=${job.resources} />`],
        ["Started", html`<${Moment} at=${job.created} />`],
        running && !past
          ? ["Last report", html`<${Age} at=${lastChange(job)} />`]
          : [running ? "Last report" : "Ended", html`<${Moment} at=${ended} />, after ${duration(took)}`],
      ]} />
      <div class="actions">
        ${!past && !viewedOwner() && html`<${Cancel} job=${job} then=${again} />`}
        ${!past && html`<form onSubmit=${(event) => event.preventDefault()}><${AsOf} /></form>`}
      </div>
    </section>
    ${job.children.length > 0 && html`<section aria-labelledby="tree">
      <h2 id="tree">${counted(descendants(job), "sub-job")}</h2>
      <ul class="tree">${job.children.map((child) => html`<${Node} key=${child.uuid} job=${child} past=${past} />`)}</ul>
    </section>`}
  `;
}

const descendants = (job) => job.children.reduce((count, child) => count + 1 + descendants(child), 0);

/** A job in a tree, drawn again only if it or a sub-job has changed. */
function Node({ job, past }) {
  const last = useRef({});
  if (past !== last.current.past || !last.current.job || !same(job, last.current.job)) {
    last.current = { job, past, drawn: drawNode(job, past) };
  }
  return last.current.drawn;
}

const drawNode = (job, past) => html`<li>
  <div class="node">
    <${Link} kind="jobs" uuid=${job.uuid} />
    <${State} state=${job.state} />
    <span><${Links} uris=${job.resources} /></span>
    <${Progress} job=${job} label=${`Progress of ${job.uuid}`} />
    <${Figures} job=${job} />
    ${job.state === "started" && !past && html`<span class="faint">reported <${Age} at=${lastChange(job)} /></span>`}
  </div>
  ${job.children.length > 0 && html`<ul>${job.children.map((child) => html`<${Node} key=${child.uuid} job=${child} past=${past} />`)}</ul>`}
</li>`;

const FIGURES = ["progress", "phase", "bytes_done", "bytes_verified", "bytes_per_s", "eta_s", "error", "skipped", "lost", "worker_lost"];

function same(one, other) {
  return (
    one.state === other.state &&
    one.last_modified === other.last_modified &&
    one.children.length === other.children.length &&
    one.resources.length === other.resources.length &&
    FIGURES.every((name) => one.data[name] === other.data[name]) &&
    one.children.every((child, index) => child.uuid === other.children[index].uuid && same(child, other.children[index]))
  );
}

function Timeline({ uuid, job, past }) {
  const [all, setAll] = useState(false);
  const read = useRead(`/jobs/${uuid}/history/`, { limit: all ? ALL : EVENTS, order_by: "-version" });
  const readAgain = useThrottled(read.again, 1000);
  const changedAt = job?.last_modified;
  useEffect(() => {
    if (!past && changedAt) readAgain();
  }, [changedAt]);
  return html`<section aria-labelledby="timeline">
    <h2 id="timeline">Timeline</h2>
    <${Loaded} read=${read}>${({ meta, objects }) => html`
      <${Table} label="Events of the job" rows=${objects} keyOf=${(event) => event.version} empty="Nothing is recorded." columns=${EVENT_COLUMNS} />
      ${!all && meta.total_count > EVENTS && html`<p class="faint">The newest ${EVENTS} of ${meta.total_count} events. <button type="button" onClick=${() => setAll(true)}>Show all</button></p>`}
    `}<//>
  </section>`;
}

const EVENT_COLUMNS = [
  ["Position", (event) => html`<a href=${addressWith({ as_of: event.position })} title="Show the job as it was then">${event.position}</a>`],
  ["Recorded", (event) => html`<${Moment} at=${event.recorded_at} />`],
  ["Event", (event) => plain(event.event.split("/")[0].replaceAll("-", " "))],
  ["Actor", (event) => html`<span class="name">${event.actor === null ? "another account" : visible(event.actor)}</span>`],
  ["Details", (event) => html`<span class="fields">${fields(event.fields)}</span>`, "wide"],
];

const fields = (values) =>
  Object.entries(values)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${plain(name)}: ${valueInWords(value)}`)
    .join(", ");
