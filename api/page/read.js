// Reading what is shown, and keeping it as new as the ledger.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { viewedOwner } from "./address.js";
import { Refused, get } from "./client.js";
import { listen, onGap } from "./live.js";

/** Others' things are told of in no frame of ours: they are asked for again and again. */
const POLL_MS = 5_000;
/** A tab that is hidden draws no pictures. */
const NO_PICTURE_MS = 1_000;

/**
 * What a GET answers: {body, error, again, put}, neither of the first two as long as it is on its way. What there is stays until there is
 * something newer; `again` reads anew, `put` changes the body to what a frame has shown.
 */
export function useRead(path, query = {}, { owned = true, pollMs = 0 } = {}) {
  const owner = owned ? viewedOwner() : null;
  const asked = JSON.stringify([path, query, owner]);
  const [state, setState] = useState({ asked });
  const current = useRef({});
  if (current.current.asked !== asked) current.current = { asked, begun: 0, settled: 0, puts: [] };
  const again = useCallback(async () => {
    const reads = current.current;
    const nth = (reads.begun += 1);
    const settle = (found) => {
      // An answer that a newer one has overtaken is dropped; one that is overtaken by a question is not.
      if (reads !== current.current || nth <= reads.settled) return;
      reads.settled = nth;
      setState((before) => ({ asked, ...found(before.asked === asked ? before.body : undefined) }));
    };
    try {
      const body = await get(path, { ...query, owner });
      // It may have been put together before what came in frames since it was asked for.
      settle(() => ({ body: reads.puts.reduce((now, put) => (nth <= put.begun ? put.change(now) : now), body) }));
    } catch (error) {
      settle((body) => ({ error, body: passes(error) ? body : undefined }));
    }
    reads.puts = reads.puts.filter((put) => put.begun > reads.settled);
  }, [asked]);
  useEffect(() => {
    again();
  }, [again]);
  useEffect(() => (owned ? onGap(again) : undefined), [again, owned]);
  const every = owner && !query.as_of ? POLL_MS : pollMs;
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(again, every);
    return () => clearInterval(timer);
  }, [again, every]);
  const put = useCallback((change) => {
    const { begun, settled, puts } = current.current;
    if (begun > settled) puts.push({ begun, change });
    setState((before) => (before.asked !== asked || before.body === undefined ? before : { ...before, body: change(before.body) }));
  }, [asked]);
  const { body, error } = state.asked === asked ? state : {};
  return { body, error, again, put };
}

/** Whether what is shown may be right in spite of it. */
const passes = (error) => !(error instanceof Refused) || error.status === 429 || error.status >= 500;

/** Calls `take` with the newest frame of each resource, all of one picture together; never while `paused`. */
export function useFrames(take, paused = false) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (paused) return undefined;
    const waiting = new Map();
    let picture = 0;
    let late = 0;
    const drop = () => {
      cancelAnimationFrame(picture);
      clearTimeout(late);
      picture = 0;
      waiting.clear();
    };
    const hand = () => {
      const frames = [...waiting.values()];
      drop();
      latest.current(frames);
    };
    const end = listen((frame) => {
      waiting.set(frame.resource_uri, frame);
      if (picture) return;
      picture = requestAnimationFrame(hand);
      late = setTimeout(hand, NO_PICTURE_MS);
    });
    // What is read then is newer than what waits.
    const endGaps = onGap(drop);
    return () => {
      end();
      endGaps();
      drop();
    };
  }, [paused]);
}

/** `work`, at once and then not more often than every so many milliseconds; the last call counts. */
export function useThrottled(work, ms) {
  const latest = useRef(work);
  latest.current = work;
  const state = useRef({ timer: 0, again: false });
  useEffect(() => () => clearTimeout(state.current.timer), []);
  return useCallback(() => {
    const now = state.current;
    if (now.timer) {
      now.again = true;
      return;
    }
    const run = () => {
      latest.current();
      now.again = false;
      now.timer = setTimeout(() => {
        now.timer = 0;
        if (now.again) run();
      }, ms);
    };
    run();
  }, []);
}

/**
 * A list of the API that frames of one type keep current: what is on the page is replaced, and if
 * something else has changed that may belong there, the page is read anew.
 */
export function useList(type, path, query, paused) {
  const list = useRead(path, query);
  const readAgain = useThrottled(list.again, 300);
  useFrames((frames) => {
    const shown = new Map();
    for (const frame of frames) {
      if (frame.resource_type === type) shown.set(frame.resource_uri, frame.object);
    }
    if (!shown.size) return;
    const known = new Set((list.body?.objects ?? []).map((each) => each.resource_uri));
    list.put((body) => ({
      ...body,
      objects: body.objects.map((each) => shown.get(each.resource_uri) ?? each),
    }));
    // A page by key stays where it is; at the front what is new comes in, and what is gone goes.
    if (isPicky(query) || [...shown].some(([uri, object]) => !object || !known.has(uri) || moved(list.body, uri, object))) readAgain();
  }, paused);
  return list;
}

/** Whether what is listed may leave by any change. */
const isPicky = (query) => Boolean(query.last_modified__lt || query.name__contains);

/** Whether a filter by state may have another opinion of it now. */
function moved(body, uri, object) {
  const before = body.objects.find((each) => each.resource_uri === uri);
  return before.state !== object.state;
}
