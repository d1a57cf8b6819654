// The page: the login, the view and the frame around it.

import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { Accounts } from "./accounts.js";
import { Activity } from "./activity.js";
import { to, useAddress } from "./address.js";
import { JobPage } from "./job.js";
import { JobList } from "./jobs.js";
import { Ledger } from "./ledger.js";
import { begin, connection, end, silence } from "./live.js";
import { Login } from "./login.js";
import { Act, Heading, Trouble, keepFocus } from "./parts.js";
import { DriveList, DrivePage, KeypairList, ServerList, ServerPage } from "./resources.js";
import { Retention } from "./retention.js";
import { readSession, isStaff, logOut, useSession } from "./session.js";
import { useStore } from "./store.js";
import { VERSION } from "./version.js";
import { duration, visible } from "./words.js";

const VIEWS = [
  { path: "/jobs", title: "Jobs", view: JobList, one: JobPage },
  { path: "/activity", title: "Activity", view: Activity },
  { path: "/drives", title: "Drives", view: DriveList, one: DrivePage },
  { path: "/servers", title: "Servers", view: ServerList, one: ServerPage },
  { path: "/keypairs", title: "Keypairs", view: KeypairList },
  { path: "/retention", title: "Retention", view: Retention, staff: true },
  { path: "/ledger", title: "Ledger", view: Ledger, staff: true },
  { path: "/accounts", title: "Accounts", view: Accounts, staff: true },
];

const CONNECTIONS = { live: "Live", connecting: "Connecting …", lost: "Connection lost, reconnecting …" };
const SILENT = { live: "Nothing heard", connecting: "Connecting, nothing heard", lost: "Connection lost, nothing heard" };

function Page() {
  const account = useSession();
  const [error, setError] = useState(null);
  const find = () => {
    setError(null);
    readSession().catch(setError);
  };
  useEffect(find, []);
  useEffect(() => {
    if (!account) return undefined;
    begin();
    return end;
  }, [account?.uuid]);
  if (error) return html`<main id="main"><${Heading}>Job Ledger<//><${Trouble} error=${error} again=${find} /></main>`;
  if (account === undefined) return html`<main id="main"><${Heading}>Job Ledger<//><p role="status">Loading …</p></main>`;
  return account === null ? html`<${Login} />` : html`<${Shell} account=${account} />`;
}

function Shell({ account }) {
  const { path, query } = useAddress();
  const main = useRef();
  const first = useRef(true);
  const views = VIEWS.filter((each) => !each.staff || isStaff(account));
  useLayoutEffect(() => {
    // After a link was followed, a screen reader and the keyboard continue at the new view.
    if (!first.current) main.current.querySelector("h1")?.focus();
  }, [path]);
  useLayoutEffect(() => {
    if (!first.current) keepFocus();
    first.current = false;
  }, [query]);
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header>
      <a class="brand" href=${to("/jobs")}>Job Ledger</a>
      <nav aria-label="Views">${views.map(
        (each) => html`<a href=${to(each.path)} aria-current=${isWithin(path, each.path) ? "page" : null}>${each.title}</a>`,
      )}</nav>
      <${Connection} />
      <span class="who"><bdi>${visible(account.email)}</bdi>${isStaff(account) && ` (${account.role})`}</span>
      <${Act} does=${logOut}>Log out<//>
    </header>
    <${Viewed} owner=${query.get("owner")} own=${account.uuid} />
    <main id="main" ref=${main} tabindex="-1">${view(views, path)}</main>
    <footer>Job Ledger ${VERSION} · <a href="/api/docs/">API</a></footer>
  `;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const isWithin = (path, root) => path === root || path.startsWith(`${root}/`) || (root === "/jobs" && ["/", "/login"].includes(path));

function view(views, path) {
  const found = views.find((each) => isWithin(path, each.path));
  const [, , uuid, ...rest] = path.split("/");
  if (found && !uuid) return html`<${found.view} key=${found.path} />`;
  if (found?.one && UUID.test(uuid) && !rest.length) return html`<${found.one} key=${path} uuid=${uuid} />`;
  return html`<${Heading}>Not found<//><p>There is no such view, or your account may not see it. <a href="/jobs">Jobs</a></p>`;
}

function Connection() {
  const state = useStore(connection);
  const seconds = useStore(silence);
  const kind = seconds ? "lost" : state;
  // Screen readers are not told of each second.
  const words = seconds ? html`${SILENT[state]}<span aria-hidden="true"> for ${duration(seconds)}</span>, reconnecting …` : CONNECTIONS[state];
  return html`<span class=${`connection connection-${kind}`} role="status"><span aria-hidden="true">●</span> ${words}</span>`;
}

function Viewed({ owner, own }) {
  if (!owner || owner === own) return null;
  return html`<p class="notice" role="status">These are the drives and jobs of account <code>${owner}</code>, updated every five seconds. <a class="button" href="/jobs">Back to yours</a></p>`;
}

render(html`<${Page} />`, document.getElementById("page"));
