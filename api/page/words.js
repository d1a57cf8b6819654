// Numbers, times and texts for people.

import { OPERATIONS } from "./operations.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const whole = new Intl.NumberFormat("en");
const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const number = (value) => whole.format(value);

export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** At most two units: "2 d 3 h", "4 min 5 s". */
export function duration(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, length] of [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(left / length);
    if (count || (unit === "s" && !parts.length)) parts.push(`${count} ${unit}`);
    left -= count * length;
    if (parts.length && (!count || parts.length === 2)) break;
  }
  return parts.join(" ");
}

/** In this browser's time zone. */
export const local = (iso) => when.format(new Date(iso));

/** To the second, in UTC. */
export const utc = (iso) => `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** The value of a datetime-local input for a time, and back. */
export function toInput(iso) {
  if (!iso || Number.isNaN(Date.parse(iso))) return "";
  const at = new Date(iso);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export const fromInput = (text) => (text ? new Date(text).toISOString() : "");

/** A text with invisible and direction-changing characters written out. */
export const visible = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);

/** A value of JSON as people write it. */
export function valueInWords(value) {
  if (value === null) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(valueInWords).join("; ") || "none";
  if (typeof value !== "object") return visible(String(value));
  const said = Object.entries(value).filter(([, each]) => each !== null);
  return said.map(([name, each]) => `${plain(name)} ${valueInWords(each)}`).join(", ") || "none";
}

/** "last_modified" as words. */
export const plain = (name) => name.replaceAll("_", " ");

/** What people call an operation. */
export const title = (operation) => OPERATIONS[operation] ?? visible(plain(operation));
