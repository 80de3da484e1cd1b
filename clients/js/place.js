// Where a feed stands in the history, and which events it has had already.

const REMEMBERED = 4096; // ids of events; a server repeats only what came last

export class Place {
  #epoch;
  #offset;
  #had = new Set();

  // `after` is where an earlier feed stood: {epoch, offset}, or null.
  constructor(after = null) {
    this.#epoch = after?.epoch ?? null;
    this.#offset = after?.offset ?? null;
  }

  // {epoch, offset}, or null where nothing was told yet.
  get position() {
    return this.#epoch === null ? null : { epoch: this.#epoch, offset: this.#offset };
  }

  // A connection has begun, with `data` of sessiond.feed.opened; `asked` is the position that it was to go on behind,
  // or null. Gives what was lost, or null.
  opened({ epoch, offset, recovered, reason }, asked) {
    // Feeds without a history can't go on; facts do all the same.
    const goesOn = asked !== null && epoch === asked.epoch && (recovered || reason === "not-replayable");
    if (goesOn) {
      // Not what the server has for an offset, which may be where its history ends: what was missed is yet to come.
      this.#offset = asked.offset;
    } else {
      this.#offset = Number.isInteger(offset) ? offset : 0;
      this.#had.clear(); // a history that was set back gives the same ids to other events
    }
    this.#epoch = epoch;
    if (asked === null || recovered) return null;
    return { reason: reason ?? "unknown", before: asked, after: this.position };
  }

  // All up to here was told, or was none of what is wanted: a server may say so where nothing is to be told for long.
  reached(epoch, offset) {
    if (epoch === this.#epoch && Number.isSafeInteger(offset) && offset > this.#offset) this.#offset = offset;
  }

  // Says whether an event is new. One of a connection that has been replaced leads no further: its filter was another.
  takes(event, isCurrent = true) {
    const { epoch, offset, topic, source, id } = event;
    const counts = isCurrent && Number.isInteger(offset) && epoch === this.#epoch;
    if (counts && offset <= this.#offset) return false;
    if (counts) this.#offset = offset;
    const name = `${topic ?? ""}\n${source}\n${id}`; // one event may come on several topics
    if (this.#had.has(name)) return false;
    this.#had.add(name);
    if (this.#had.size > REMEMBERED) this.#had.delete(this.#had.values().next().value);
    return true;
  }
}
