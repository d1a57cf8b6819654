// Who is logged in: undefined as long as it is not known, null for nobody.

import { Refused, get, hasLoggedIn, post } from "./client.js";
import { makeStore, useStore } from "./store.js";

export const session = makeStore(undefined);
/** Set if a session has ended by itself, so that the login can say so. */
export const ended = makeStore(false);

export const useSession = () => useStore(session);

export const isStaff = (account) => account.role !== "user";

/** Finds out who is logged in. Throws what keeps it from that. */
export async function findOut() {
  if (!hasLoggedIn()) {
    session.set(null);
    return;
  }
  try {
    session.set(await get("/accounts/self/"));
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    session.set(null);
  }
}

export async function logIn(username, password) {
  await post("/accounts/action/", { do: "login" }, { username, password });
  ended.set(false);
  await findOut();
}

export async function logOut() {
  await post("/accounts/action/", { do: "logout" });
  session.set(null);
}

/** To be told of every error: after a 401 there is nobody logged in any more. */
export function note(error) {
  if (error instanceof Refused && error.status === 401 && session.get()) {
    ended.set(true);
    session.set(null);
  }
}
