import type { HostEvent, HostEventKind } from "./host-event.js";

/** Most events that wait to be told. */
const EVENTS_MAX = 4096;

/** What an event of these kinds tells is told by the same one that waits already: whoever is woken by that looks later than this happened. */
const CONTENT: readonly HostEventKind[] = ["modify", "close-write", "attrib"];

/**
 * Events on their way to whoever follows them. When too many wait, the new ones are dropped and counted: whoever follows learns that there
 * were more.
 */
export class EventQueue {
  #events: HostEvent[] = [];
  #dropped = 0;
  /** Of events of {@link CONTENT} that wait. */
  readonly #keys = new Set<string>();

  add(event: HostEvent): void {
    if (!CONTENT.includes(event.kind)) {
      // The name stands for something else from here on.
      for (const kind of CONTENT) this.#keys.delete(keyOf(event, kind));
    } else {
      const key = keyOf(event, event.kind);
      if (this.#keys.has(key)) return;
      if (this.#events.length < EVENTS_MAX) this.#keys.add(key);
    }
    if (this.#events.length < EVENTS_MAX) this.#events.push(event);
    else this.#dropped++;
  }

  get isEmpty(): boolean {
    return this.#events.length === 0 && this.#dropped === 0;
  }

  /** Everything that waits, as lines of JSON: the events, and `{"dropped":N}` if there were more. */
  take(): string {
    const lines = this.#events.map((event) => JSON.stringify(event));
    if (this.#dropped > 0) lines.push(JSON.stringify({ dropped: this.#dropped }));
    this.#events = [];
    this.#dropped = 0;
    this.#keys.clear();
    return lines.map((line) => `${line}\n`).join("");
  }
}

function keyOf({ device, node, name }: HostEvent, kind: HostEventKind): string {
  return `${kind} ${device} ${node} ${name}`;
}
