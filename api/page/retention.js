// Retention, for auditors and operators: its state, and a dry run.

import { html } from "./vendor/preact.js";
import { addressWith, go, useAddress } from "./address.js";
import { Facts, Field, Heading, Link, Loaded, Moment, MomentField, Table, counted } from "./parts.js";
import { useRead } from "./read.js";
import { session } from "./session.js";
import { bytes, number } from "./words.js";

export function Retention() {
  return html`
    <${Heading}>Retention<//>
    <${Status} />
    <${DryRun} />
  `;
}

function Status() {
  const read = useRead("/ledger/retention/", {}, { owned: false });
  return html`<section class="card" aria-label="Status"><${Loaded} read=${read}>${(body) => html`
    <${Facts} facts=${[
      ["Completed jobs are kept for", html`<code>${body.keep}</code> ${body.since ? html`since <${Moment} at=${body.since} />` : "by default"}`],
      ["And of each series", `the last ${counted(body.keep_last, "job")}, and the last that succeeded`],
      ["Next due", body.next_due ? html`<${Moment} at=${body.next_due} />` : "nothing"],
      ["Latest sweep", swept(body.swept)],
      ["Waiting for an archive", swept(body.waiting)],
      ["Archives", `${number(body.archives.length)}, ${bytes(body.archives.reduce((sum, each) => sum + each.bytes, 0))}`],
      ...body.unreadable.map((problem) => ["Archive", html`<strong class="error">${problem}</strong>`]),
      ["Wall clock", body.clock_moved_by ? html`<strong class="error">not trusted: moved by ${body.clock_moved_by}</strong>`
        : body.clock_behind_by ? html`<strong class="error">${body.clock_behind_by} behind the newest event</strong>` : "trusted"],
    ]} />
    ${body.parked.length > 0 && html`<h2>Parked</h2>
      <p>These streams cannot be read, and stay until <code>job-ledger parked retry</code> or <code>skip</code> releases them.</p>
      <${Table} label="Parked streams" rows=${body.parked} keyOf=${(each) => each.stream} columns=${[
        ["Stream", (each) => html`<code>${each.stream}</code>`],
        ["Since", (each) => html`<${Moment} at=${each.at} />`],
        ["Why", (each) => each.reason, "wide"],
        ["Handling", (each) => each.handling],
      ]} />`}
  `}<//></section>`;
}

const swept = (sweep) => (sweep ? html`<${Moment} at=${sweep.at} />: ${counted(sweep.trees, "tree")} of ${counted(sweep.jobs, "job")}` : "nothing");

function DryRun() {
  const { query } = useAddress();
  const asked = { as_of: query.get("at"), keep: query.get("keep"), keep_last: query.get("keep_last") };
  const read = useRead("/ledger/retention/plan/", asked, { owned: false });
  return html`<section aria-labelledby="dry-run">
    <h2 id="dry-run">Dry run</h2>
    <form class="filters" aria-label="Dry run" onSubmit=${(event) => event.preventDefault()}>
      <label>Plan for <${MomentField} value=${asked.as_of} take=${(at) => go(addressWith({ at }))} /></label>
      <label>Keep for <${Field} type="text" size="8" placeholder="P3D" value=${asked.keep} take=${(keep) => go(addressWith({ keep }))} /></label>
      <label>and the last of each series <${Field} type="number" min="0" max="1000" size="4" placeholder="20" value=${asked.keep_last} take=${(last) => go(addressWith({ keep_last: last }))} /></label>
    </form>
    <${Loaded} read=${read}>${(plan) => html`
      <p>${counted(plan.trees_total, "tree")} of ${counted(plan.jobs_total, "job")} and ${counted(plan.streams_total, "other stream")} that ended before <${Moment} at=${plan.cutoff} /> would be discarded. Nothing was changed.</p>
      <${Table} label="Trees that would be discarded" rows=${plan.trees} keyOf=${(tree) => tree.job} empty="Nothing is due." columns=${[
        ["Job", (tree) => html`<${Link} kind="jobs" uuid=${tree.job} owner=${tree.owner === session.get()?.uuid ? null : tree.owner} />`],
        ["Jobs", (tree) => number(tree.jobs)],
        ["Owner", (tree) => html`<code>${tree.owner}</code>`, "wide"],
        ["Ended", (tree) => html`<${Moment} at=${tree.ended} />`],
      ]} />
      <p class="faint">Digest, for <code>job-ledger retention run --plan</code>: <code>${plan.digest}</code></p>
    `}<//>
  </section>`;
}
