// Values that several parts of the page share.

import { useEffect, useState } from "./vendor/preact.js";

/** A value, and the listeners that are called when it changes. */
export function makeStore(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (next === value) return;
      value = next;
      for (const listener of [...listeners]) listener(value);
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The store's value; the component is drawn again when it changes. */
export function useStore(store) {
  const [value, setValue] = useState(store.get);
  useEffect(() => {
    setValue(store.get);
    return store.listen((next) => setValue(() => next));
  }, [store]);
  return value;
}
