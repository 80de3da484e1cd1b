// Who listens to what: lifecycle by its names, events by their types, patterns of types, or "*".

import { fullType, matchesType } from "./filters.js";

export const LIFECYCLE = ["open", "close", "gap", "error", "subscribed", "unsubscribed", "refused", "other"];

export class Ears {
  #heard = new Map(); // name → Set of {listener}, so that the same function may listen twice

  on(name, listener) {
    if (typeof listener !== "function") throw new TypeError("a function is needed");
    const key = LIFECYCLE.includes(name) ? name : fullType(name);
    const ear = { listener };
    const ears = this.#heard.get(key) ?? new Set();
    this.#heard.set(key, ears.add(ear));
    return () => {
      ears.delete(ear);
      if (ears.size === 0 && this.#heard.get(key) === ears) this.#heard.delete(key);
    };
  }

  // Tells of lifecycle; says whether anybody listened.
  tell(name, value) {
    const ears = [...(this.#heard.get(name) ?? [])];
    for (const ear of ears) this.call(ear.listener, value);
    return ears.length > 0;
  }

  // Tells an event to all whose type it is; says whether anybody but those of "*" listened.
  event(event) {
    let known = false;
    for (const [pattern, ears] of [...this.#heard]) {
      if (LIFECYCLE.includes(pattern) || !matchesType(pattern, event.type)) continue;
      known ||= pattern !== "*";
      for (const ear of [...ears]) this.call(ear.listener, event);
    }
    return known;
  }

  // One listener that fails keeps no other from hearing.
  call(listener, value) {
    try {
      listener(value);
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    const ears = [...(this.#heard.get("error") ?? [])];
    for (const { listener } of ears) {
      try {
        listener(error);
      } catch (another) {
        console.error(another);
      }
    }
    if (ears.length === 0) console.error(error);
  }
}
