// Who is logged in: undefined as long as it is not known, null for nobody.

import { Refused, get, hasLoggedIn, hold, letGo, post, unauthorized } from "./client.js";
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
  hold();
  try {
    session.set(await get("/accounts/self/"));
  } catch (error) {
    if (!isUnauthorized(error)) throw error;
    leave();
  }
}

/** Whether somebody is logged in afterwards: a browser that keeps no cookies forgets it at once. */
export async function logIn(username, password) {
  await post("/accounts/action/", { do: "login" }, { username, password });
  ended.set(false);
  await findOut();
  return session.get() !== null;
}

export async function logOut() {
  try {
    await post("/accounts/action/", { do: "logout" });
  } catch (error) {
    if (!isUnauthorized(error)) throw error;
  }
  ended.set(false);
  leave();
}

function leave() {
  letGo();
  session.set(null);
}

const isUnauthorized = (error) => error instanceof Refused && error.status === 401;

unauthorized.listen(() => {
  if (session.get()) {
    ended.set(true);
    leave();
  }
});
