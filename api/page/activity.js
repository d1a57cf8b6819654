// Throughput and running jobs over time.

import { html, useEffect, useRef } from "./vendor/preact.js";
import { addressWith, useAddress } from "./address.js";
import { Facts, Heading, Loaded } from "./parts.js";
import { useFrames, useRead, useThrottled } from "./read.js";
import { bytes, number } from "./words.js";
import uPlot from "./vendor/uplot.js";

const SPANS = [[1, "an hour"], [6, "6 hours"], [24, "a day"], [168, "a week"], [720, "30 days"]];
const HEIGHT = 220;
const READ_MS = 3_000;
const POLL_MS = 30_000;

export function Activity() {
  const { query } = useAddress();
  const hours = Number(query.get("hours") ?? 24);
  const read = useRead("/jobs/statistics/", { hours }, { pollMs: POLL_MS });
  const readAgain = useThrottled(read.again, READ_MS);
  useFrames((frames) => frames.some((frame) => frame.resource_type === "jobs") && readAgain());
  return html`
    <${Heading}>Activity<//>
    <nav class="choices" aria-label="Period">${SPANS.map(
      ([span, words]) => html`<a class="button" href=${addressWith({ hours: span })} aria-current=${span === hours ? "true" : null}>${words}</a>`,
    )}</nav>
    <${Loaded} read=${read}>${(body) => html`<${Plots} body=${body} />`}<//>
  `;
}

function Plots({ body: { buckets, bucket_s: length } }) {
  const of = (name) => buckets.map((bucket) => bucket[name]);
  const sum = (name) => of(name).reduce((total, value) => total + value, 0);
  const at = buckets.map((bucket) => Date.parse(bucket.at) / 1000);
  const rate = of("copied_bytes").map((value) => value / length);
  const per = length < 3600 ? `${length / 60} min` : `${length / 3600} h`;
  return html`
    <section class="card" aria-label="Totals"><${Facts} facts=${[
      ["Running now", number(buckets.at(-1).running)],
      ["Started", number(sum("created"))],
      ["Success", number(sum("success"))],
      ["Failed", number(sum("failed"))],
      ["Cancelled", number(sum("cancelled"))],
      ["Copied", bytes(sum("copied_bytes"))],
    ]} /></section>
    <${Plot} title="Running jobs" data=${[at, of("running")]} lines=${[["running", "--started"]]} />
    <${Plot} title=${`Jobs ended per ${per}`} data=${[at, of("success"), of("failed"), of("cancelled")]}
      lines=${[["success", "--success"], ["failed", "--failed"], ["cancelled", "--cancelled"]]} />
    <${Plot} title="Copied per second" data=${[at, rate]} lines=${[["bytes/s", "--started"]]} show=${bytes} least=${1024} />
  `;
}

const DAY = 86_400;
const STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();
const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DASHES = [[], [6, 4], [2, 3]];

/** A plot that follows the width of the window and the colours of the scheme. */
function Plot({ title, data, lines, show = number, least = 1 }) {
  const place = useRef();
  const plot = useRef();
  const newest = useRef();
  newest.current = data;
  useEffect(() => {
    const within = place.current;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(within, lines, show, least), newest.current, within);
    };
    draw();
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const resized = new ResizeObserver(() => plot.current.setSize({ width: within.clientWidth, height: HEIGHT }));
    resized.observe(within);
    dark.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      dark.removeEventListener("change", draw);
      plot.current.destroy();
    };
  }, [title]);
  useEffect(() => plot.current.setData(data), [data]);
  const last = lines.map(([name], index) => `${name} ${show(data[index + 1].at(-1))}`).join(", ");
  return html`<section class="card" aria-label=${title}>
    <h2>${title}</h2>
    <div class="plot" ref=${place} role="img" aria-label=${`${title} over time; now ${last}`}></div>
  </section>`;
}

function options(place, lines, show, least) {
  const colours = getComputedStyle(place);
  const colour = (name) => colours.getPropertyValue(name).trim();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    series: [
      { label: "time" },
      ...lines.map(([label, name], index) => ({
        label,
        stroke: colour(name),
        width: 2,
        dash: DASHES[index],
        value: (_, value) => (value === null ? "–" : show(value)),
      })),
    ],
    axes: [
      { ...axis, values: (_, ticks, __, ___, step) => ticks.map((at) => (step < DAY ? hour : day).format(at * 1000)) },
      { ...axis, size: 80, incrs: STEPS.map((step) => step * least), values: (_, ticks) => ticks.map(show) },
    ],
    scales: { y: { range: (_, __, most) => [0, Math.max(least, most * 1.1)] } },
  };
}
