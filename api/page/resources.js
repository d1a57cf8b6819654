// Drives and servers with their jobs, and keypairs; the place to clone and download.

import { html, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { addressWith, go, to, useAddress, viewedOwner } from "./address.js";
import { Refused, newKey, postOnce, url } from "./client.js";
import { Jobs } from "./jobs.js";
import { Facts, Field, Heading, Link, Links, Loaded, Name, State, Table, Trouble } from "./parts.js";
import { useFrames, useList, useRead } from "./read.js";
import { bytes } from "./words.js";

const LIMIT = 50;
const JOBS = 20;

const DRIVES = {
  type: "drives",
  title: "Drives",
  one: "Drive",
  empty: "There are no drives. Upload an image through the API, or clone one from the library.",
  columns: [
    ["Size", (drive) => bytes(drive.size)],
    ["Storage", (drive) => drive.storage_type],
  ],
  facts: (drive) => [
    ["Size", bytes(drive.size)],
    ["Storage", drive.storage_type],
    ["Medium", drive.media],
    ["Mounted on", html`<${Links} uris=${drive.mounted_on.map((each) => each.resource_uri)} />`],
  ],
};

const SERVERS = {
  type: "servers",
  title: "Servers",
  one: "Server",
  empty: "There are no servers.",
  columns: [
    ["Drives", (server) => server.drives.length],
    ["Address", (server) => addresses(server)],
  ],
  facts: (server) => [
    ["CPU", `${server.cpu} MHz`],
    ["Memory", bytes(server.mem)],
    ["Drives", html`<${Links} uris=${server.drives.map((mount) => mount.drive.resource_uri)} />`],
    ["Addresses", addresses(server)],
  ],
};

const KEYPAIRS = {
  type: "keypairs",
  title: "Keypairs",
  empty: "There are no keypairs. Create one through the API.",
  columns: [
    ["Name", (keypair) => html`<${Name} text=${keypair.name} />`, "wide"],
    ["Fingerprint", (keypair) => html`<code>${keypair.fingerprint}</code>`],
    ["UUID", (keypair) => html`<code>${keypair.uuid}</code>`],
  ],
};

/** The addresses of a server's cards, which it has while it runs. */
const addresses = (server) => (server.runtime?.nics ?? []).flatMap((nic) => nic.ip_v4?.uuid ?? []).join(", ") || "none";

export const DriveList = () => html`<${List} kind=${DRIVES} />`;
export const ServerList = () => (viewedOwner() ? html`<${NotShown} />` : html`<${List} kind=${SERVERS} />`);
export const KeypairList = () => (viewedOwner() ? html`<${Heading}>Keypairs<//><p class="empty">Only their owner can see keypairs.</p>` : html`<${List} kind=${KEYPAIRS} />`);
export const DrivePage = ({ uuid }) => html`<${One} kind=${DRIVES} uuid=${uuid} />`;
export const ServerPage = ({ uuid }) => (viewedOwner() ? html`<${NotShown} />` : html`<${One} kind=${SERVERS} uuid=${uuid} />`);

const NotShown = () => html`<${Heading}>Servers<//><p class="empty">Only their owner can see servers, as they contain passwords.</p>`;

function List({ kind }) {
  const { query } = useAddress();
  const offset = Number(query.get("offset") ?? 0);
  const name = query.get("name__contains") ?? "";
  const read = useList(kind.type, `/${kind.type}/detail/`, { limit: LIMIT, offset, name__contains: name ? escaped(name) : null });
  const filter = (text) => go(addressWith({ name__contains: text, offset: null }));
  return html`
    <${Heading}>${kind.title}<//>
    <form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
      <label>Name contains <${Field} type="text" value=${name} take=${filter} /></label>
    </form>
    <${Loaded} read=${read}>${({ meta, objects }) => html`
      <${Table} label=${kind.title} rows=${objects} keyOf=${(each) => each.uuid} empty=${name ? "No name contains this." : kind.empty}
        columns=${kind.one ? withJobs(kind) : kind.columns} />
      <${Pager} meta=${meta} />
    `}<//>
  `;
}

/** The columns of what has a view of its own. */
const withJobs = (kind) => [
  ["Name", (each) => html`<${Link} kind=${kind.type} uuid=${each.uuid}><${Name} text=${each.name} /><//>`, "wide"],
  ["Status", (each) => html`<${State} state=${each.status} />`],
  ...kind.columns,
  ["Jobs", (each) => html`<${Links} uris=${each.jobs.map((job) => job.resource_uri)} />`],
  ["Actions", (each) => html`<${Actions} kind=${kind} each=${each} />`],
];

/** Escape commas, which separate alternatives in a filter. */
const escaped = (text) => text.replaceAll("\\", "\\\\").replaceAll(",", "\\,");

function Pager({ meta: { limit, offset, total_count: total } }) {
  if (total <= limit) return null;
  return html`<nav class="pager" aria-label="Pages">
    ${offset > 0 && html`<a class="button" rel="prev" href=${addressWith({ offset: Math.max(0, offset - limit) || null })}>Previous page</a>`}
    <span>${offset + 1} to ${Math.min(offset + limit, total)} of ${total}</span>
    ${offset + limit < total && html`<a class="button" rel="next" href=${addressWith({ offset: offset + limit })}>Next page</a>`}
  </nav>`;
}

function One({ kind, uuid }) {
  const { query } = useAddress();
  const read = useRead(`/${kind.type}/${uuid}/`);
  const uri = url(`/${kind.type}/${uuid}/`);
  useFrames((frames) => {
    const newest = frames.filter((frame) => frame.resource_uri === uri).at(-1);
    if (newest?.object) read.put(() => newest.object);
    else if (newest) read.again();
  });
  return html`
    <${Heading}>${kind.one} ${read.body ? html`<${Name} text=${read.body.name} />` : ""}<//>
    <${Loaded} read=${read}>${(each) => html`
      <section class="card" aria-label=${`The ${kind.one.toLowerCase()}`}>
        <${Facts} facts=${[
          ["Status", html`<${State} state=${each.status} />`],
          ...kind.facts(each),
          ["UUID", html`<code>${each.uuid}</code>`],
        ]} />
        <${Actions} kind=${kind} each=${each} />
      </section>
    `}<//>
    <section aria-labelledby="jobs">
      <h2 id="jobs">Jobs</h2>
      <${Jobs} query=${{ resource: uuid, limit: JOBS, after: query.get("after") ?? "" }} label="Its jobs" />
    </section>
  `;
}

function Actions({ kind, each }) {
  const [naming, setNaming] = useState(null);
  const button = useRef();
  // On leaving the form, the focus returns to where it was opened.
  useLayoutEffect(() => {
    if (naming === false) button.current?.focus();
  }, [naming]);
  if (viewedOwner()) return html`<span class="faint">owner only</span>`;
  if (naming) return html`<${CloneForm} kind=${kind} each=${each} close=${() => setNaming(false)} />`;
  return html`<div class="actions">
    <button type="button" ref=${button} onClick=${() => setNaming(true)}>Clone</button>
    ${kind === DRIVES && html`<a class="button" download href=${url(`/drives/${each.uuid}/download/`)}>Download</a>`}
  </div>`;
}

function CloneForm({ kind, each, close }) {
  const [state, setState] = useState({});
  const input = useRef();
  // After no answer, the same request is sent again, not one for another clone.
  const sent = useRef({});
  useLayoutEffect(() => input.current.focus(), []);
  const clone = async (event) => {
    event.preventDefault();
    if (state.busy) return;
    const name = new FormData(event.target).get("name");
    if (sent.current.name !== name) sent.current = { name, key: newKey() };
    setState({ busy: true });
    try {
      const { objects, jobs } = await postOnce(sent.current.key, `/${kind.type}/${each.uuid}/action/`, { do: "clone" }, name ? { name } : {});
      const [job] = (objects?.[0] ?? { jobs }).jobs;
      go(to(`/jobs/${job.uuid}`));
    } catch (error) {
      if (error instanceof Refused && error.status < 500) sent.current = {};
      setState({ error });
    }
  };
  return html`<form class="clone" aria-label="Clone" onSubmit=${clone}>
    <label>Name of the clone <input name="name" ref=${input} placeholder="chosen by the service" /></label>
    <button type="submit" aria-disabled=${state.busy}>Clone</button>
    <button type="button" onClick=${close}>Close</button>
    <${Trouble} error=${state.error} did />
  </form>`;
}
