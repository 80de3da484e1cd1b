// One card for each service: its places, its options, and the button that opens it.

const DOTS_LIMIT = 12; // more places than this are told in words only

export class Cards {
  #place;
  #open;
  #shown = new Map();

  // `open(service, options)` is called when a card's button is pressed.
  constructor(place, open) {
    this.#place = place;
    this.#open = open;
  }

  // Cards stay in place from one list to the next, so that options which somebody is choosing are not lost.
  show(services) {
    const names = new Set(services.map((service) => service.name));
    for (const [name, card] of this.#shown) {
      if (!names.has(name)) {
        card.element.remove();
        this.#shown.delete(name);
      }
    }
    for (const service of services) this.#showOne(service);
  }

  clear() {
    this.show([]);
  }

  #showOne(service) {
    const shape = JSON.stringify([service.title, service.kind, service.options]);
    let card = this.#shown.get(service.name);
    if (card?.shape !== shape) {
      const fresh = { shape, ...makeCard(service, this.#open) };
      if (card) card.element.replaceWith(fresh.element);
      else this.#place.append(fresh.element);
      this.#shown.set(service.name, fresh);
      card = fresh;
    }
    showPlaces(card.places, service);
  }
}

function makeCard(service, open) {
  const title = service.title ?? service.name;
  const element = make("form", { className: "card" });
  element.dataset.service = service.name;
  element.setAttribute("aria-label", title);
  const places = make("p", { className: "places" });
  const fields = Object.entries(service.options ?? {}).map(([name, option]) => makeField(service.name, name, option));
  const button = make("button", { type: "submit", id: `open-${service.name}`, textContent: "Open" });
  button.setAttribute("aria-label", `Open ${title}`);
  element.append(make("h3", { textContent: title }), places);
  if (fields.length) {
    const options = make("div", { className: "options" });
    options.append(...fields.map((field) => field.element));
    element.append(options);
  }
  if (service.kind === "rfb") {
    element.append(button);
  } else {
    element.append(make("p", { className: "hint", textContent: `For its own client (${service.kind}).` }));
  }
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = fields.filter((field) => field.given()).map((field) => [field.name, field.value()]);
    if (service.kind === "rfb") open(service, Object.fromEntries(given));
  });
  return { element, places };
}

function makeField(service, name, option) {
  const id = `option-${service}-${name}`;
  const input = makeInput(option);
  input.id = id;
  input.name = name;
  const label = make("label", { htmlFor: id, textContent: option.title ?? name.replaceAll("_", " ") });
  const element = make("div", { className: "field" });
  element.append(label, input);
  const value = () => (option.type === "integer" ? input.valueAsNumber : input.value);
  return { name, element, value, given: () => input.value !== "" };
}

function makeInput(option) {
  if (option.type === "choice") {
    const select = make("select");
    select.append(...option.of.map((each) => new Option(each, each, each === option.default, each === option.default)));
    return select;
  }
  const required = option.default === undefined;
  if (option.type === "integer") {
    const { minimum: min = "", maximum: max = "" } = option;
    return make("input", { type: "number", step: 1, min, max, required, defaultValue: option.default ?? "" });
  }
  const input = make("input", { type: "text", required, defaultValue: option.default ?? "", autocomplete: "off" });
  if (option.max_length) input.maxLength = option.max_length;
  return input;
}

function showPlaces(element, { count, used, queued }) {
  const free = Math.max(0, count - used);
  const waiting = queued ? `, ${queued} waiting` : "";
  const text = (free ? `${free} of ${count} ${count === 1 ? "place" : "places"} free` : "All places taken") + waiting;
  if (element.textContent === text) return;
  element.replaceChildren();
  if (count <= DOTS_LIMIT) {
    const dots = make("span", { className: "dots" });
    dots.setAttribute("aria-hidden", "true");
    for (let place = 0; place < count; place += 1) dots.append(make("i", { className: place < used ? "used" : "free" }));
    element.append(dots);
  }
  element.append(text);
}

function make(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}
