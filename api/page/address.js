// The address says what is shown: which view, of what, with which filters, as of when.

import { makeStore, useStore } from "./store.js";

const KEPT = ["owner"];

const here = makeStore(read());

function read() {
  return { path: location.pathname.replace(/(.)\/$/, "$1"), query: new URLSearchParams(location.search) };
}

function written(path, query) {
  const said = query.toString();
  return path + (said ? `?${said}` : "");
}

addEventListener("popstate", () => here.set(read()));

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api/") || link.hasAttribute("download") || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
});

/** Shows another address; it is one step of the browser's history. */
export function go(target) {
  history.pushState(null, "", target);
  here.set(read());
}

/** The query of the address with some values replaced; null removes one. Filters begin a list anew. */
export function changed(changes) {
  const query = new URLSearchParams(here.get().query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  return written(here.get().path, query);
}

/** An address of the page; whose things are looked at stays as it is. */
export function to(path, query = {}) {
  const said = new URLSearchParams(query);
  for (const name of KEPT) {
    const value = here.get().query.get(name);
    if (value && !said.has(name)) said.set(name, value);
  }
  return written(path, said);
}

export const useAddress = () => useStore(here);

/** Whose things are looked at, if not one's own. */
export const viewedOwner = () => here.get().query.get("owner");
