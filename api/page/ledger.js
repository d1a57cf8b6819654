// The whole ledger, for auditors and operators: position, checkpoint, and its verification.

import { html, useState } from "./vendor/preact.js";
import { get, getText } from "./client.js";
import { Act, Facts, Heading, Loaded, Moment, State, Table } from "./parts.js";
import { isContinued, isSigned, parsed } from "./proofs.js";
import { useRead } from "./read.js";
import { bytes, number } from "./words.js";

const POLL_MS = 10_000;
/** The browser stores the checkpoint that it verified last, out of the ledger's reach, under this name. */
const STORED = "verified-checkpoint";

export function Ledger() {
  const read = useRead("/ledger/status/", {}, { owned: false, pollMs: POLL_MS });
  return html`
    <${Heading}>Ledger<//>
    <${Loaded} read=${read}>${(body) => html`
      <section class="card" aria-label="The ledger">
        <${Facts} facts=${[
          ["Position", number(body.position)],
          ["Store", body.store],
          ["Accounts", number(body.accounts)],
          ...Object.entries(body.jobs).map(([state, count]) => [html`Jobs: <${State} state=${state} />`, number(count)]),
        ]} />
        <h2>Pools</h2>
        <${Table} label="Pools" rows=${body.pools} keyOf=${(pool) => pool.name} empty="No process has a pool." columns=${[
          ["Name", (pool) => pool.name],
          ["Storage", (pool) => pool.storage_type],
          ["Free", (pool) => bytes(pool.free_bytes)],
        ]} />
      </section>
      <section class="card" aria-labelledby="checkpoint">
        <h2 id="checkpoint">Checkpoint</h2>
        ${body.checkpoint
          ? html`<p>Stored <${Moment} at=${body.checkpoint.at} />:</p><pre tabindex="0">${body.checkpoint.note}</pre>`
          : html`<p>There is none yet.</p>`}
        <p class="faint">Verifier: <code>${body.verifier}</code></p>
        <${Verify} verifier=${body.verifier} />
      </section>
    `}<//>
  `;
}

/** Ask for a checkpoint signed now, and check it against the last one that this browser saw. */
function Verify({ verifier }) {
  const [findings, setFindings] = useState(null);
  const verify = async () => {
    setFindings(null);
    setFindings(await verifyCheckpoint(verifier));
  };
  return html`<div class="actions"><${Act} does=${verify}>Verify now<//></div>
    <div role="status">${findings && html`<ul class="findings">${findings.map(({ holds, text }) => html`<li><${State} state=${holds ? "success" : "failed"} /> ${text}</li>`)}</ul>`}</div>`;
}

async function verifyCheckpoint(verifier) {
  const note = await getText("/ledger/checkpoint/");
  const newer = parsed(note);
  const findings = [{ holds: await isSigned(newer, verifier), text: `The checkpoint of ${number(newer.size)} events is signed by the ledger's key.` }];
  const stored = localStorage.getItem(STORED);
  if (stored === null) {
    findings.push({ holds: true, text: "This browser has seen no checkpoint before. It stores this one, and checks the next against it." });
  } else {
    const older = parsed(stored);
    const same = older.origin === newer.origin;
    const hashes = same && older.size <= newer.size ? (await get("/ledger/proofs/consistency/", { old: older.size, new: newer.size })).hashes : [];
    findings.push({
      holds: same && (await isContinued(older, newer, hashes)),
      text: `It continues the checkpoint of ${number(older.size)} events that this browser saw before: no earlier event was changed, removed or inserted.`,
    });
  }
  // A checkpoint that fails must not become the one that the next is compared with.
  if (findings.every(({ holds }) => holds)) localStorage.setItem(STORED, note);
  return findings;
}
