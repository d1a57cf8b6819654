// All accounts, with links to their jobs and drives, for auditors and operators.

import { html } from "./vendor/preact.js";
import { useAddress } from "./address.js";
import { Heading, Loaded, Moment, Name, Table } from "./parts.js";
import { Pager } from "./jobs.js";
import { useRead } from "./read.js";
import { number } from "./words.js";

const LIMIT = 50;

export function Accounts() {
  const { query } = useAddress();
  const offset = Number(query.get("offset") ?? 0);
  const read = useRead("/ledger/accounts/", { limit: LIMIT, offset }, { owned: false });
  return html`
    <${Heading}>Accounts<//>
    <${Loaded} read=${read}>${({ meta, objects }) => html`
      <${Table} label="Accounts" rows=${objects} keyOf=${(each) => each.uuid} columns=${[
        ["Email", (each) => html`<${Name} text=${each.email} />`, "wide"],
        ["Role", (each) => each.role],
        ["Since", (each) => html`<${Moment} at=${each.created} />`],
        ["Running jobs", (each) => number(each.running_jobs)],
        ["Show", (each) => html`<a href=${`/jobs?owner=${each.uuid}`} aria-label=${`Jobs of ${each.email}`}>jobs</a>, <a href=${`/drives?owner=${each.uuid}`} aria-label=${`Drives of ${each.email}`}>drives</a>`],
      ]} />
      <${Pager} meta=${meta} />
    `}<//>
  `;
}
