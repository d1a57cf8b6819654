// The address holds the view, its resource, its filters, and the time it shows.

import { makeStore, useStore } from "./store.js";

const KEPT_PARAMETERS = ["owner"];

const here = makeStore(read());

function read() {
  return { path: location.pathname.replace(/(.)\/$/, "$1"), query: new URLSearchParams(location.search) };
}

function join(path, query) {
  const text = query.toString();
  return path + (text ? `?${text}` : "");
}

addEventListener("popstate", () => here.set(read()));

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api/") || link.hasAttribute("download") || link.hash) return;
  event.preventDefault();
  go(link.pathname + link.search);
});

/** Show another address, as one step of the browser's history. */
export function go(target) {
  history.pushState(null, "", target);
  here.set(read());
}

/** The address with some parameters replaced; null removes one. */
export function addressWith(changes) {
  const query = new URLSearchParams(here.get().query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  return join(here.get().path, query);
}

/** An address of the page, for the same owner. */
export function to(path, query = {}) {
  const parameters = new URLSearchParams(query);
  for (const name of KEPT_PARAMETERS) {
    const value = here.get().query.get(name);
    if (value && !parameters.has(name)) parameters.set(name, value);
  }
  return join(path, parameters);
}

export const useAddress = () => useStore(here);

/** The account whose drives and jobs are shown, if not the user's own. */
export const viewedOwner = () => here.get().query.get("owner");
