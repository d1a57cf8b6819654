// Time travel: lists and jobs as they were at a chosen time.

import { html } from "./vendor/preact.js";
import { addressWith, go, useAddress } from "./address.js";
import { Moment, MomentField } from "./parts.js";

const PLACE = { after: null, offset: null };

/** The field for the time. */
export function AsOf() {
  const pick = (at) => at && go(addressWith({ as_of: at, ...PLACE }));
  return html`<label>Show as of <${MomentField} take=${pick} /></label>`;
}

/** A note that the past is shown, and the way back. */
export function PastNote() {
  const { query } = useAddress();
  const asOf = query.get("as_of");
  if (!asOf) return null;
  const isPosition = /^\d+$/.test(asOf);
  const what = isPosition ? `position ${asOf}` : Number.isNaN(Date.parse(asOf)) ? asOf : html`<${Moment} at=${asOf} />`;
  return html`<p class="notice" role="status">
    This is how it was at <strong>${what}</strong>. It is not updated.
    ${isPosition && Number(asOf) > 1 && html` <a class="button" href=${addressWith({ as_of: Number(asOf) - 1, ...PLACE })}>One position earlier</a>`}
    ${isPosition && html` <a class="button" href=${addressWith({ as_of: Number(asOf) + 1, ...PLACE })}>One position later</a>`}
    <a class="button" href=${addressWith({ as_of: null, ...PLACE })}>Back to now</a>
  </p>`;
}
