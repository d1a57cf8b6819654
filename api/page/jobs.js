// The list of jobs, now or in the past; the address holds the filters and the page.

import { html } from "./vendor/preact.js";
import { addressWith, go, useAddress, viewedOwner } from "./address.js";
import { OPERATIONS } from "./operations.js";
import { Age, Cancel, Field, Figures, Heading, Link, Links, Loaded, Moment, MomentField, Progress, State, Table, counted, lastChange } from "./parts.js";
import { AsOf, PastNote } from "./past.js";
import { useList, useRead } from "./read.js";
import { plain, title } from "./words.js";

const LIMIT = 50;
const STATES = ["started", "success", "failed", "cancelled"];
const FILTERS = ["state", "operation", "resource", "last_modified__gte", "last_modified__lt"];

export function JobList() {
  const { query } = useAddress();
  const asOf = query.get("as_of");
  const offset = Number(query.get("offset") ?? 0);
  const place = asOf ? { as_of: asOf, offset } : { after: query.get("after") ?? "" };
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]));
  const applied = asOf ? { state: filters.state } : filters;
  return html`
    <${Heading}>Jobs<//>
    <${PastNote} />
    <${Filters} filters=${filters} past=${asOf} />
    <${Jobs} query=${{ limit: LIMIT, ...applied, ...place }} past=${asOf} />
  `;
}

function Filters({ filters, past }) {
  const { body } = useRead("/jobs/statistics/", { hours: 1 });
  const operations = [...new Set([...Object.keys(OPERATIONS), ...(body?.operations ?? [])])];
  const change = (name) => (value) => go(addressWith({ [name]: value, after: null, offset: null }));
  return html`<form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <${Choice} label="State" value=${filters.state} among=${STATES} wording=${plain} change=${change("state")} />
    ${!past && html`
      <${Choice} label="Operation" value=${filters.operation} among=${operations} wording=${title} change=${change("operation")} />
      <label>Drive or server <${Field} type="text" size="20" placeholder="uuid" value=${filters.resource} take=${change("resource")} /></label>
      <label>Changed from <${MomentField} value=${filters.last_modified__gte} take=${change("last_modified__gte")} /></label>
      <label>before <${MomentField} value=${filters.last_modified__lt} take=${change("last_modified__lt")} /></label>
    `}
    ${past && FILTERS.some((name) => name !== "state" && filters[name]) && html`<p class="faint">Jobs of the past can be filtered by state only.</p>`}
    ${FILTERS.some((name) => filters[name]) && html`<a class="button" href=${addressWith(Object.fromEntries([...FILTERS, "after", "offset"].map((name) => [name, null])))}>Clear filters</a>`}
    <${AsOf} />
  </form>`;
}

const Choice = ({ label, value, among, wording, change }) => html`<label>${label}
  <select onChange=${(event) => change(event.target.value)}>
    <option value="" selected=${!value}>any</option>
    ${among.map((each) => html`<option value=${each} selected=${each === value}>${wording(each)}</option>`)}
    ${value && !among.includes(value) && html`<option value=${value} selected>${value}</option>`}
  </select>
</label>`;

/** A page of jobs, kept current unless it shows the past. */
export function Jobs({ query, past, label = "Jobs" }) {
  const read = useList("jobs", "/jobs/", query, Boolean(past));
  return html`<${Loaded} read=${read}>${(body) => html`
    <${Table}
      label=${label}
      rows=${body.objects}
      keyOf=${(job) => job.uuid}
      empty=${emptiness(past, body.meta)}
      columns=${past ? [...COLUMNS, CHANGED_AT] : [...COLUMNS, CHANGED, ...(viewedOwner() ? [] : [cancelling(read)])]}
    />
    <${Pager} meta=${body.meta} />
  `}<//>`;
}

/** A page of a walk may be empty although others follow: it looks at so many jobs at the most. */
const emptiness = (past, { next }) => {
  if (next) return "There are no such jobs on this page. The next one looks further back.";
  return past ? "There were no such jobs at that time." : "There are no such jobs. Clone a drive or a server to start one.";
};

const COLUMNS = [
  ["Job", (job) => html`<${Link} kind="jobs" uuid=${job.uuid} />`],
  ["Operation", (job) => html`<span class="name">${title(job.operation)}</span>${job.children.length ? html`, <span class="faint">${counted(job.children.length, "sub-job")}</span>` : ""}`],
  ["State", (job) => html`<${State} state=${job.state} />`],
  ["Progress", (job) => html`<${Progress} job=${job} label=${`Progress of ${job.uuid}`} /><${Figures} job=${job} />`, "wide"],
  ["Resources", (job) => html`<${Links} uris=${job.resources} />`],
];
const CHANGED = ["Last change", (job) => html`<${Age} at=${lastChange(job)} />`];
const CHANGED_AT = ["Last change", (job) => html`<${Moment} at=${lastChange(job)} />`];

const cancelling = (read) => ["Actions", (job) => html`<${Cancel} job=${job} then=${read.again} />`];

/** Walks have a next page, and the browser's way back; pages of the past have offsets. */
export function Pager({ meta }) {
  const { query } = useAddress();
  const { limit, offset, total_count: total, next } = meta;
  const deep = query.has("after") || offset > 0;
  const further = next ?? (total > offset + limit ? offset + limit : null);
  if (!deep && further === null) return null;
  return html`<nav class="pager" aria-label="Pages">
    ${deep && html`<a class="button" href=${addressWith({ after: null, offset: null })}>First page</a>`}
    ${total !== undefined && html`<span>${offset + 1} to ${Math.min(offset + limit, total)} of ${total}</span>`}
    ${further !== null && html`<a class="button" rel="next" href=${addressWith(next ? { after: next } : { offset: further })}>Next page</a>`}
  </nav>`;
}
