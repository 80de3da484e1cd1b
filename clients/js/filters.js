// Filters of events: {types, session, service}, each of which may be left out; and the one that lets all pass that any
// of several does.

export const SESSIONS = "sessions"; // the topic of facts
const MOST_TYPES = 32; // that the daemon takes in one filter
const PREFIX = "sessiond.";
const OF_FACTS = /^(session|tunnel|port)\./;

// Writes the short name of a fact in full: "session.ready" is the type "sessiond.session.ready".
export function fullType(type) {
  return OF_FACTS.test(type) ? PREFIX + type : type;
}

export function filterOf({ types, session, service } = {}) {
  const found = {};
  if (types !== undefined && types !== null) {
    found.types = [...new Set([].concat(types).map(fullType))].sort();
    if (found.types.some((type) => type.includes(","))) throw new TypeError("a type has no comma in it");
  }
  if (session) found.session = session;
  if (service) found.service = service;
  return found;
}

// "sessiond.session.*" matches whatever begins so.
export function matchesType(pattern, type) {
  return pattern.endsWith("*") ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

export function matches(filter, event) {
  if (filter.types && !filter.types.some((pattern) => matchesType(pattern, event.type))) return false;
  if (filter.session && event.subject !== filter.session) return false;
  return !filter.service || event.data?.service === filter.service;
}

export function topicOf(event) {
  return event.topic ?? SESSIONS;
}

export function widest(filters) {
  const found = {};
  if (filters.length === 0) return found;
  if (filters.every((filter) => filter.types)) {
    const { types } = filterOf({ types: filters.flatMap((filter) => filter.types) });
    if (types.length <= MOST_TYPES) found.types = types;
  }
  for (const name of ["session", "service"]) {
    const [first] = filters;
    if (first[name] && filters.every((filter) => filter[name] === first[name])) found[name] = first[name];
  }
  return found;
}

export function same(one, other) {
  return JSON.stringify(filterOf(one)) === JSON.stringify(filterOf(other));
}
