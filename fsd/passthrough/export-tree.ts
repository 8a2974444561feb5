import {
  type DeviceDefaults,
  devicePolicy,
  type ExportOption,
  type ExportPolicy,
  exportPolicy,
} from "./export-policy.js";

/** The zone of the shared directory itself. */
export const ROOT_ZONE = 0;

/** A pattern that fits so far, and how many of its components have been seen. */
interface Position {
  readonly option: number;
  readonly depth: number;
}

interface Zone {
  readonly policy: ExportPolicy;
  /** The option that the policy comes from, -1 for the device's. */
  readonly option: number;
  /** Patterns that may still fit something below. Empty: the whole subtree has this policy. */
  readonly open: readonly Position[];
}

const ANY = 0x2a;
/** No component of a pattern is this name. */
const OTHER = Buffer.from("/\0");

/**
 * Which export a file belongs to, found step by step on the way down from the shared directory. The names on the way put a directory into
 * a zone: all directories for which the patterns stand alike. An inode needs to know its zone and nothing else, and below the last component
 * of all patterns the zone stays what it is, so that nothing is compared.
 *
 * Where several patterns fit a directory, the option that was given last decides; an export inside another one decides from there on.
 */
export class ExportTree {
  readonly #zones: Zone[] = [];
  readonly #patterns: readonly (readonly Buffer[])[];
  readonly #policies: readonly ExportPolicy[];

  constructor(options: readonly ExportOption[], device: DeviceDefaults) {
    this.#patterns = options.map(({ pattern }) => pattern.map((component) => Buffer.from(component)));
    this.#policies = options.map((option) => exportPolicy(option, device));
    const positions = this.#patterns.map((_, option): Position => ({ option, depth: 0 }));
    this.#enter(positions, { policy: devicePolicy(device), option: -1 });
    // All zones that there can be, in one order: inodes refer to them by number, and may outlive the worker that entered them.
    const names = [OTHER, ...this.#patterns.flat().map((component) => Buffer.from([...component, 0]))];
    for (let zone = 0; zone < this.#zones.length; zone++) {
      for (const name of names) this.child(zone, name, 0);
      this.nameless(zone);
    }
  }

  policy(zone: number): ExportPolicy {
    const found = this.#zones[zone];
    if (found === undefined) throw new RangeError(`zone ${zone}`);
    return found.policy;
  }

  /** Whether all that the guest can see has a policy of which `holds` is true. */
  every(holds: (policy: ExportPolicy) => boolean): boolean {
    return holds(this.policy(ROOT_ZONE)) && this.#policies.every(holds);
  }

  some(holds: (policy: ExportPolicy) => boolean): boolean {
    return !this.every((policy) => !holds(policy));
  }

  /** The zone of what is called `bytes` from `offset` to a NUL in a directory of `zone`. */
  child(zone: number, bytes: Uint8Array, offset: number): number {
    const parent = this.#zones[zone];
    if (parent === undefined || parent.open.length === 0) return zone;
    const open = parent.open.filter(({ option, depth }) =>
      matches(this.#patterns[option]?.[depth], bytes, offset),
    );
    return this.#enter(
      open.map(({ option, depth }) => ({ option, depth: depth + 1 })),
      parent,
    );
  }

  /** The zone of a file without a name in a directory of `zone`. */
  nameless(zone: number): number {
    const parent = this.#zones[zone];
    return parent === undefined || parent.open.length === 0 ? zone : this.#enter([], parent);
  }

  /** The zone where patterns stand at `positions`, below a directory with that policy. */
  #enter(positions: readonly Position[], parent: Pick<Zone, "policy" | "option">): number {
    const complete = ({ option, depth }: Position) => depth === this.#patterns[option]?.length;
    const option = positions.filter(complete).at(-1)?.option ?? parent.option;
    const open = positions.filter((position) => !complete(position));
    const known = this.#zones.findIndex((zone) => zone.option === option && isSame(zone.open, open));
    if (known >= 0) return known;
    return this.#zones.push({ policy: this.#policies[option] ?? parent.policy, option, open }) - 1;
  }
}

function matches(component: Buffer | undefined, bytes: Uint8Array, offset: number): boolean {
  if (component === undefined) return false;
  if (component.length === 1 && component[0] === ANY) return true;
  for (let index = 0; index < component.length; index++) {
    if (bytes[offset + index] !== component[index]) return false;
  }
  return bytes[offset + component.length] === 0;
}

function isSame(one: readonly Position[], other: readonly Position[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ option, depth }, index) => {
      const position = other[index];
      return option === position?.option && depth === position.depth;
    })
  );
}
