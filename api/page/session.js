// The account that is logged in: undefined until it is known, null for none.

import { Refused, get, hasLoggedIn, pinSession, unpinSession, post, unauthorized } from "./client.js";
import { makeStore, useStore } from "./store.js";

export const session = makeStore(undefined);
/** Whether a session has ended without a logout, so that the login can say so. */
export const ended = makeStore(false);

export const useSession = () => useStore(session);

export const isStaff = (account) => account.role !== "user";

/** Find out who is logged in; throws if that fails. */
export async function readSession() {
  if (!hasLoggedIn()) {
    session.set(null);
    return;
  }
  pinSession();
  try {
    session.set(await get("/accounts/self/"));
  } catch (error) {
    if (!isUnauthorized(error)) throw error;
    leave();
  }
}

/** Log in; return false if the browser stores no cookies, which ends the session at once. */
export async function logIn(username, password) {
  await post("/accounts/action/", { do: "login" }, { username, password });
  ended.set(false);
  await readSession();
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
  unpinSession();
  session.set(null);
}

const isUnauthorized = (error) => error instanceof Refused && error.status === 401;

unauthorized.listen(() => {
  if (session.get()) {
    ended.set(true);
    leave();
  }
});
