// The ledger as a whole, for auditors and operators: position, checkpoint, and whether it holds.

import { html, useState } from "./vendor/preact.js";
import { get, getText } from "./client.js";
import { Act, Facts, Heading, Loaded, Moment, State, Table } from "./parts.js";
import { isContinued, isSigned, parsed } from "./proofs.js";
import { useRead } from "./read.js";
import { bytes, number } from "./words.js";

const POLL_MS = 10_000;
/** Under this name the browser keeps the checkpoint that it verified last: somebody else has it. */
const KEPT = "verified-checkpoint";

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
          ? html`<p>Kept <${Moment} at=${body.checkpoint.at} />:</p><pre tabindex="0">${body.checkpoint.note}</pre>`
          : html`<p>None is kept yet.</p>`}
        <p class="faint">Verifier: <code>${body.verifier}</code></p>
        <${Verify} verifier=${body.verifier} />
      </section>
    `}<//>
  `;
}

/** Asks for a checkpoint signed now, and checks it against the one that this browser saw last. */
function Verify({ verifier }) {
  const [found, setFound] = useState(null);
  const verify = async () => {
    setFound(null);
    setFound(await verified(verifier));
  };
  return html`<div class="actions"><${Act} does=${verify}>Verify now<//></div>
    <div role="status">${found && html`<ul class="findings">${found.map(({ holds, says }) => html`<li><${State} state=${holds ? "success" : "failed"} /> ${says}</li>`)}</ul>`}</div>`;
}

async function verified(verifier) {
  const note = await getText("/ledger/checkpoint/");
  const newer = parsed(note);
  const findings = [{ holds: await isSigned(newer, verifier), says: `The checkpoint of ${number(newer.size)} events is signed by the ledger's key.` }];
  const kept = localStorage.getItem(KEPT);
  if (kept === null) {
    findings.push({ holds: true, says: "This browser has seen no checkpoint before. It keeps this one, and checks the next against it." });
  } else {
    const older = parsed(kept);
    const same = older.origin === newer.origin;
    const hashes = same && older.size <= newer.size ? (await get("/ledger/proofs/consistency/", { old: older.size, new: newer.size })).hashes : [];
    findings.push({
      holds: same && (await isContinued(older, newer, hashes)),
      says: `It continues the checkpoint of ${number(older.size)} events that this browser saw before: nothing up to there was changed, removed or put in between.`,
    });
  }
  // What does not hold must not become what the next look is compared with.
  if (findings.every(({ holds }) => holds)) localStorage.setItem(KEPT, note);
  return findings;
}
