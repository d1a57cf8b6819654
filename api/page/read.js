// Reading what is shown, and keeping it as new as the ledger.

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { viewedOwner } from "./address.js";
import { get } from "./client.js";
import { listen, onGap } from "./live.js";
import { note } from "./session.js";

/** Others' things are told of in no frame of ours: they are asked for again and again. */
const POLL_MS = 5_000;

/**
 * What a GET answers: {body, error, loading, again, put}. What there is stays until there is
 * something newer; `again` reads anew, `put` replaces the body by what a frame has shown.
 */
export function useRead(path, query = {}, { owned = true, pollMs = 0 } = {}) {
  const owner = owned ? viewedOwner() : null;
  const asked = JSON.stringify([path, query, owner]);
  const [state, setState] = useState({ asked, loading: true });
  const newest = useRef(0);
  const again = useCallback(async () => {
    const nth = (newest.current += 1);
    const settle = (found) => nth === newest.current && setState({ asked, loading: false, ...found });
    try {
      settle({ body: await get(path, { ...query, owner }) });
    } catch (error) {
      note(error);
      settle({ error });
    }
  }, [asked]);
  useEffect(() => {
    setState((before) => (before.asked === asked ? before : { asked, loading: true }));
    again();
    return () => {
      newest.current += 1;
    };
  }, [asked]);
  useEffect(() => onGap(again), [again]);
  const every = owner ? POLL_MS : pollMs;
  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(again, every);
    return () => clearInterval(timer);
  }, [again, every]);
  const put = useCallback((change) => {
    setState((before) => (before.body === undefined ? before : { ...before, body: change(before.body) }));
  }, []);
  const current = state.asked === asked ? state : { loading: true };
  return { ...current, again, put };
}

/** Calls `take` with the frames that come, all of one picture together; never while `paused`. */
export function useFrames(take, paused = false) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (paused) return undefined;
    let waiting = [];
    let asked = 0;
    const end = listen((frame) => {
      waiting.push(frame);
      asked ||= requestAnimationFrame(() => {
        const frames = waiting;
        waiting = [];
        asked = 0;
        latest.current(frames);
      });
    });
    return () => {
      end();
      cancelAnimationFrame(asked);
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
    if ([...shown].some(([uri, object]) => !object || !known.has(uri) || moved(list.body, uri, object))) readAgain();
  }, paused);
  return list;
}

/** Whether a filter by state may have another opinion of it now. */
function moved(body, uri, object) {
  const before = body.objects.find((each) => each.resource_uri === uri);
  return before.state !== object.state;
}
