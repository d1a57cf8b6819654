// Read what is shown, and keep it up to date.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { viewedOwner } from "./address.js";
import { Refused, get } from "./client.js";
import { listen, onGap } from "./live.js";

/** Frames show only the user's own resources; those of other accounts are polled. */
const POLL_MS = 5_000;
/** A hidden tab gets no animation frames. */
const NO_PICTURE_MS = 1_000;

/**
 * The answer to a GET: {body, error, again, put}, without body and error while it is loading. A body stays until there is a newer one;
 * `again` reads it again, `put` changes it to what a frame shows.
 */
export function useRead(path, query = {}, { owned = true, pollMs = 0 } = {}) {
  const owner = owned ? viewedOwner() : null;
  const asked = JSON.stringify([path, query, owner]);
  const [state, setState] = useState({ asked });
  const current = useRef({});
  if (current.current.asked !== asked) current.current = { asked, begun: 0, settled: 0, puts: [] };
  const again = useCallback(async () => {
    const reads = current.current;
    const number = (reads.begun += 1);
    const settle = (found) => {
      // Drop an answer if a newer one has come, but not if a newer request is only under way.
      if (reads !== current.current || number <= reads.settled) return;
      reads.settled = number;
      setState((before) => ({ asked, ...found(before.asked === asked ? before.body : undefined) }));
    };
    try {
      const body = await get(path, { ...query, owner });
      // The answer may be older than frames that came since the request.
      settle(() => ({ body: reads.puts.reduce((now, put) => (number <= put.begun ? put.change(now) : now), body) }));
    } catch (error) {
      settle((body) => ({ error, body: mayPass(error) ? body : undefined }));
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

/** Whether the present content may still be right despite the error. */
const mayPass = (error) => !(error instanceof Refused) || error.status === 429 || error.status >= 500;

/** Call `take` with the newest frame of each resource, once per animation frame; never while `paused`. */
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
    // The reads after a gap are newer than waiting frames.
    const endGaps = onGap(drop);
    return () => {
      end();
      endGaps();
      drop();
    };
  }, [paused]);
}

/** Return a function that runs `work` at once, then at most every `ms` milliseconds; the last call counts. */
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
 * A list of the API that frames of one type keep current: a frame replaces its object in the list; if
 * another object changed that may belong to the page, the page is read again.
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
    // A page of a walk stays where it is; on the first page, new objects appear and deleted ones go.
    if (isVolatile(query) || [...shown].some(([uri, object]) => !object || !known.has(uri) || hasChangedState(list.body, uri, object))) readAgain();
  }, paused);
  return list;
}

/** Whether any change may remove an object from the list. */
const isVolatile = (query) => Boolean(query.last_modified__lt || query.name__contains);

/** Whether the object's state has changed, so that a filter by state may drop it. */
function hasChangedState(body, uri, object) {
  const before = body.objects.find((each) => each.resource_uri === uri);
  return before.state !== object.state;
}
