// Time travel: a moment is picked, and lists and jobs are shown as they were.

import { html } from "./vendor/preact.js";
import { changed, go, useAddress } from "./address.js";
import { Moment, MomentField } from "./parts.js";

const PLACE = { after: null, offset: null };

/** Picks the moment. */
export function AsOf() {
  const pick = (at) => at && go(changed({ as_of: at, ...PLACE }));
  return html`<label>As it was at <${MomentField} take=${pick} /></label>`;
}

/** Says that the past is shown, and leads back. */
export function Then() {
  const { query } = useAddress();
  const asOf = query.get("as_of");
  if (!asOf) return null;
  const isPosition = /^\d+$/.test(asOf);
  const what = isPosition ? `position ${asOf}` : Number.isNaN(Date.parse(asOf)) ? asOf : html`<${Moment} at=${asOf} />`;
  return html`<p class="then" role="status">
    This is how it was at <strong>${what}</strong>. It does not change any more.
    ${isPosition && Number(asOf) > 1 && html` <a class="button" href=${changed({ as_of: Number(asOf) - 1, ...PLACE })}>A position earlier</a>`}
    ${isPosition && html` <a class="button" href=${changed({ as_of: Number(asOf) + 1, ...PLACE })}>A position later</a>`}
    <a class="button" href=${changed({ as_of: null, ...PLACE })}>Back to now</a>
  </p>`;
}
