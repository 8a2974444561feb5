/** User and group ids are 32 bits wide; the highest one stands for "none" and is never mapped. */
const ID_LIMIT = 0xffff_ffff;

/** What an id is mapped to that the guest must not use. */
export const FORBIDDEN_ID = -1;

/** Where the ids `first` to `first + count - 1` go: one by one to `target` and up, all to `target`, or nowhere. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
  readonly kind: "shift" | "squash" | "forbid";
  /** Not used where the ids are forbidden. */
  readonly target: number;
}

/** Both directions of a translation of ids. What no range contains is left as it is. */
export interface IdRanges {
  readonly guestToHost: readonly IdRange[];
  readonly hostToGuest: readonly IdRange[];
}

/**
 * Translates user ids, or group ids, between guest and host. Mapping allocates nothing; without ranges it costs one comparison.
 */
export class IdMap {
  readonly #toHost: readonly IdRange[];
  readonly #toGuest: readonly IdRange[];

  /** @throws RangeError for a range that is empty or passes the last id, and for two of a direction that overlap */
  constructor(ranges: IdRanges) {
    this.#toHost = sorted(ranges.guestToHost);
    this.#toGuest = sorted(ranges.hostToGuest);
  }

  static readonly identity = new IdMap({ guestToHost: [], hostToGuest: [] });

  /** The host's id for one that the guest uses, or {@link FORBIDDEN_ID}. */
  toHost(id: number): number {
    return this.#toHost.length === 0 ? id : translate(this.#toHost, id);
  }

  /** The id that the guest sees for one of the host's. */
  toGuest(id: number): number {
    return this.#toGuest.length === 0 ? id : translate(this.#toGuest, id);
  }
}

/** Finds the range by bisection. */
function translate(ranges: readonly IdRange[], id: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range === undefined) break;
    if (id < range.first) high = middle;
    else if (id >= range.first + range.count) low = middle + 1;
    else if (range.kind === "forbid") return FORBIDDEN_ID;
    else return range.kind === "squash" ? range.target : range.target + (id - range.first);
  }
  return id;
}

function sorted(ranges: readonly IdRange[]): IdRange[] {
  const ordered = ranges.toSorted((a, b) => a.first - b.first);
  for (const [index, { first, count, kind, target }] of ordered.entries()) {
    const lastTarget = kind === "shift" ? target + count : kind === "squash" ? target + 1 : 0;
    if (first < 0 || count < 1 || first + count > ID_LIMIT || target < 0 || lastTarget > ID_LIMIT) {
      throw new RangeError(
        `the ids ${first} to ${first + count - 1} are not all between 0 and ${ID_LIMIT - 1}`,
      );
    }
    const before = ordered[index - 1];
    if (before !== undefined && before.first + before.count > first) {
      throw new RangeError(`the id ${first} is in two ranges`);
    }
  }
  return ordered;
}
