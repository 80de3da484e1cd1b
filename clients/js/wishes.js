// What a feed's user wants to hear: topics with their filters, and who hears them.

import { SESSIONS, filterOf, matches, same, topicOf, widest } from "./filters.js";

const TOPIC = /^[^,\s]{1,128}$/;

export class Wishes {
  #all = new Set(); // {topic, filter, listener}
  #refused = new Set();
  #granted = new Set([SESSIONS]); // topics that a server has let us have

  // `listener` is called with the events that the filter lets pass; null where others hear them. Gives what undoes it.
  add(topic, filter, listener = null) {
    if (typeof topic !== "string" || !TOPIC.test(topic)) throw new TypeError("a topic is a name without commas");
    const wish = { topic, filter: filterOf(filter), listener };
    this.#all.add(wish);
    this.#refused.delete(topic); // who asks again may be luckier
    return () => this.#all.delete(wish);
  }

  // There is no such topic, or none for us: not asked for again until somebody new wants it.
  refuse(topic) {
    this.#refused.add(topic);
    this.#granted.delete(topic);
  }

  grant(topics) {
    for (const topic of topics) this.#granted.add(topic);
  }

  // A connection was refused for one of its topics. Gives the one that it must have been, or null: then each is asked
  // for by itself from now on.
  blame(asked) {
    const fresh = [...asked.keys()].filter((topic) => !this.#granted.has(topic));
    if (fresh.length === 1) this.refuse(fresh[0]);
    else this.doubt();
    return fresh.length === 1 ? fresh[0] : null;
  }

  // What was granted may be so no more.
  doubt() {
    this.#granted = new Set([SESSIONS]);
  }

  // Topic → the filter that lets pass all that anybody wants of it.
  get filters() {
    const found = new Map();
    for (const { topic, filter } of this.#all) {
      if (!this.#refused.has(topic)) found.set(topic, [...(found.get(topic) ?? []), filter]);
    }
    return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)).map(([topic, f]) => [topic, widest(f)]));
  }

  // The topics that a connection is opened with, each with the filter that it has by its query alone, one for all. A
  // server refuses the whole for one topic that it has not: so there is one at most of which that is not known, and
  // none where a connection has others and can ask for it later.
  asked(canAsk) {
    const filters = this.filters;
    const granted = [...filters.keys()].filter((topic) => this.#granted.has(topic));
    const fresh = [...filters.keys()].filter((topic) => !this.#granted.has(topic));
    const topics = canAsk && granted.length > 0 ? granted : [...granted, ...fresh.slice(0, 1)].sort();
    const common = widest(topics.map((topic) => filters.get(topic)));
    return new Map(topics.map((topic) => [topic, common]));
  }

  // The part of a URL's query that asks for it; null where nothing is wanted.
  query(canAsk) {
    const asked = this.asked(canAsk);
    if (asked.size === 0) return null;
    const query = new URLSearchParams({ topics: [...asked.keys()].join(",") });
    const { types, session, service } = asked.values().next().value;
    if (types) query.set("types", types.join(","));
    if (session) query.set("session", session);
    if (service) query.set("service", service);
    return query.toString();
  }

  // Commands that lead from what a connection has, topic → filter, to what is wanted; `has` is changed to that.
  commands(has) {
    const found = [];
    const wanted = this.filters;
    for (const topic of [...has.keys()]) {
      if (wanted.has(topic)) continue;
      has.delete(topic);
      found.push({ command: "unsubscribe", topic });
    }
    for (const [topic, filter] of wanted) {
      if (has.has(topic) && same(has.get(topic), filter)) continue;
      has.set(topic, filter);
      found.push({ command: "subscribe", topic, filter });
    }
    return found;
  }

  // Calls whoever wants an event; says whether anybody did.
  hear(event, call) {
    let heard = false;
    for (const { topic, filter, listener } of [...this.#all]) {
      if (listener === null || topic !== topicOf(event) || !matches(filter, event)) continue;
      heard = true;
      call(listener, event);
    }
    return heard;
  }
}

export { SESSIONS };
