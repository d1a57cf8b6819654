// Verification in the browser: a checkpoint is signed by the ledger's key (c2sp.org/signed-note)
// and continues an earlier one (RFC 9162, section 2.1.4.2).

const KEY_HASH_BYTES = 4;
const ED25519 = 1;

/** The browser lacks a feature. */
export class Unable extends Error {}

const decoded = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
const equal = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);

/** The parts of a signed checkpoint; throws if it is not one. */
export function parsed(note) {
  const end = note.indexOf("\n\n");
  if (end < 0) throw new Error("it is not a signed note");
  const text = note.slice(0, end + 1);
  const [origin, size, root] = text.split("\n");
  const signatures = note.slice(end + 2).split("\n").filter(Boolean).map((line) => {
    const [, name, value] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    return { name, value: decoded(value ?? "") };
  });
  return { text, origin, size: Number(size), root: decoded(root), signatures };
}

/** Whether one of the note's signatures is by this verifier's key. */
export async function isSigned(checkpoint, verifier) {
  if (!crypto.subtle) throw new Unable("Browsers verify signatures only on pages that come over HTTPS or from this machine.");
  // The key itself is base64, which has plus signs too.
  const [, name, key] = /^([^+]+)\+[^+]+\+(.+)$/.exec(verifier) ?? [];
  if (!key) throw new Error("it is not a verifier key");
  const raw = decoded(key);
  if (raw[0] !== ED25519) throw new Error("the key is of another kind");
  const imported = await crypto.subtle.importKey("raw", raw.slice(1), "Ed25519", false, ["verify"]).catch(() => {
    throw new Unable("It does not support this ledger's signatures (Ed25519).");
  });
  const text = new TextEncoder().encode(checkpoint.text);
  for (const signature of checkpoint.signatures) {
    const bytes = signature.value.slice(KEY_HASH_BYTES);
    if (signature.name === name && (await crypto.subtle.verify("Ed25519", imported, bytes, text))) return true;
  }
  return false;
}

async function node(left, right) {
  const both = new Uint8Array(1 + left.length + right.length);
  both[0] = 1;
  both.set(left, 1);
  both.set(right, 1 + left.length);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", both));
}

/** Whether these hashes lead from the older root to the newer one. Sizes may exceed 2^32. */
export async function isContinued(older, newer, hashes) {
  if (older.size > newer.size) return false;
  if (older.size === newer.size) return equal(older.root, newer.root) && !hashes.length;
  if (older.size === 0) return !hashes.length;
  const path = hashes.map(decoded);
  let first = BigInt(older.size) - 1n;
  const isPowerOfTwo = (BigInt(older.size) & first) === 0n;
  if (isPowerOfTwo) path.unshift(older.root);
  if (!path.length) return false;
  let last = BigInt(newer.size) - 1n;
  while (first & 1n) {
    first >>= 1n;
    last >>= 1n;
  }
  let [oldRoot] = path;
  let [newRoot] = path;
  for (const hash of path.slice(1)) {
    if (last === 0n) return false;
    if (first & 1n || first === last) {
      oldRoot = await node(hash, oldRoot);
      newRoot = await node(hash, newRoot);
      while (!(first & 1n) && first) {
        first >>= 1n;
        last >>= 1n;
      }
    } else {
      newRoot = await node(newRoot, hash);
    }
    first >>= 1n;
    last >>= 1n;
  }
  return last === 0n && equal(oldRoot, older.root) && equal(newRoot, newer.root);
}
