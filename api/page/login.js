// Logging in.

import { html, useState } from "./vendor/preact.js";
import { Refused } from "./client.js";
import { Heading, Trouble, keepFocus } from "./parts.js";
import { ended, logIn } from "./session.js";
import { useStore } from "./store.js";

export function Login() {
  const [state, setState] = useState({});
  const hasEnded = useStore(ended);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    setState({ busy: true });
    try {
      if (await logIn(given.get("email"), given.get("password"))) keepFocus();
      else setState({ hasNoCookies: true });
    } catch (error) {
      setState({ error });
    }
  };
  const wrong = state.error instanceof Refused && state.error.status === 401;
  return html`<main id="main" class="login">
    <${Heading}>Log in to Job Ledger<//>
    ${hasEnded && !state.error && html`<p class="notice" role="status">Your session has ended. Log in to continue where you were.</p>`}
    <form class="card" onSubmit=${submit}>
      <label>Email <input name="email" type="email" autocomplete="username" required /></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
      <button type="submit" disabled=${state.busy}>Log in</button>
      ${state.hasNoCookies && html`<p class="trouble" role="alert"><strong>This browser blocks cookies for this address, and a login needs them.</strong></p>`}
      ${wrong ? html`<p class="trouble" role="alert"><strong>Email or password is wrong.</strong></p>` : html`<${Trouble} error=${state.error} did=${state.error?.status === 403} />`}
    </form>
    <p class="faint">An operator adds accounts with <code>job-ledger account add</code>. <a href="/api/docs/">API</a></p>
  </main>`;
}
