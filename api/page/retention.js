// Retention, for auditors and operators: what goes when, and a dry run.

import { html } from "./vendor/preact.js";
import { changed, go, useAddress } from "./address.js";
import { Facts, Field, Heading, Link, Loaded, Moment, MomentField, Table, counted } from "./parts.js";
import { useRead } from "./read.js";
import { session } from "./session.js";
import { bytes, number } from "./words.js";

export function Retention() {
  return html`
    <${Heading}>Retention<//>
    <${Standing} />
    <${DryRun} />
  `;
}

function Standing() {
  const read = useRead("/ledger/retention/", {}, { owned: false });
  return html`<section class="card" aria-label="How it stands"><${Loaded} read=${read}>${(body) => html`
    <${Facts} facts=${[
      ["Completed jobs are kept for", html`<code>${body.keep}</code> ${body.since ? html`since <${Moment} at=${body.since} />` : "by default"}`],
      ["Next due", body.next_due ? html`<${Moment} at=${body.next_due} />` : "nothing"],
      ["Newest sweep", found(body.swept)],
      ["Waits for an archive", found(body.waiting)],
      ["Archives", `${number(body.archives.length)}, ${bytes(body.archives.reduce((sum, each) => sum + each.bytes, 0))}`],
      ["Wall clock", body.clock_moved_by ? html`<strong class="error">not trusted: moved by ${body.clock_moved_by}</strong>` : "trusted"],
    ]} />
    ${body.parked.length > 0 && html`<h2>Parked</h2>
      <p>These cannot be read, and stay until <code>job-ledger parked release</code> says what becomes of them.</p>
      <${Table} label="Parked streams" rows=${body.parked} keyOf=${(each) => each.stream} columns=${[
        ["Stream", (each) => html`<code>${each.stream}</code>`],
        ["Since", (each) => html`<${Moment} at=${each.at} />`],
        ["Why", (each) => each.reason, "wide"],
        ["Is", (each) => each.handling],
      ]} />`}
  `}<//></section>`;
}

const found = (what) => (what ? html`<${Moment} at=${what.at} />: ${counted(what.trees, "tree")} of ${counted(what.jobs, "job")}` : "nothing");

function DryRun() {
  const { query } = useAddress();
  const asked = { as_of: query.get("at"), keep: query.get("keep") };
  const read = useRead("/ledger/retention/plan/", asked, { owned: false });
  return html`<section aria-labelledby="dry-run">
    <h2 id="dry-run">Dry run</h2>
    <form class="filters" aria-label="Dry run" onSubmit=${(event) => event.preventDefault()}>
      <label>At <${MomentField} value=${asked.as_of} take=${(at) => go(changed({ at }))} /></label>
      <label>Kept for <${Field} type="text" size="8" placeholder="P3D" value=${asked.keep} take=${(keep) => go(changed({ keep }))} /></label>
    </form>
    <${Loaded} read=${read}>${(plan) => html`
      <p>${counted(plan.trees_total, "tree")} of ${counted(plan.jobs_total, "job")} and ${counted(plan.streams_total, "other stream")} would go: what ended before <${Moment} at=${plan.cutoff} />. Nothing was changed.</p>
      <${Table} label="Trees that would go" rows=${plan.trees} keyOf=${(tree) => tree.job} empty="Nothing is due." columns=${[
        ["Job", (tree) => html`<${Link} kind="jobs" uuid=${tree.job} owner=${tree.owner === session.get()?.uuid ? null : tree.owner} />`],
        ["Jobs", (tree) => number(tree.jobs)],
        ["Owner", (tree) => html`<code>${tree.owner}</code>`, "wide"],
        ["Ended", (tree) => html`<${Moment} at=${tree.ended} />`],
      ]} />
      <p class="faint">Digest, for <code>job-ledger retention run --plan</code>: <code>${plan.digest}</code></p>
    `}<//>
  </section>`;
}
