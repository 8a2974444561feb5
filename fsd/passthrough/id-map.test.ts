import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FORBIDDEN_ID, IdMap, type IdRange } from "./id-map.js";

const ID_MAX = 0xffff_fffe;

/** Ranges that do not overlap: lengths and gaps, one after the other. */
const ranges = fc
  .array(
    fc.record({
      gap: fc.nat(1 << 20),
      count: fc.integer({ min: 1, max: 1 << 20 }),
      kind: fc.constantFrom("shift", "squash", "forbid"),
      target: fc.nat(ID_MAX - (1 << 20)),
    }),
    { maxLength: 20 },
  )
  .map((parts) => {
    let next = 0;
    return parts.map(({ gap, count, kind, target }): IdRange => {
      const first = next + gap;
      next = first + count;
      return { first, count, kind, target };
    });
  })
  .chain((sorted) => fc.shuffledSubarray(sorted, { minLength: sorted.length }));
const id = fc.oneof(fc.nat(1 << 24), fc.nat(0xffff_ffff));

/** What a map means, said in the simplest way. */
function expected(all: readonly IdRange[], given: number): number {
  const range = all.find(({ first, count }) => given >= first && given < first + count);
  if (range === undefined) return given;
  if (range.kind === "forbid") return FORBIDDEN_ID;
  return range.kind === "squash" ? range.target : range.target + given - range.first;
}

test("each id goes where the range that contains it says, and stays what it is without one", () => {
  fc.assert(
    fc.property(ranges, ranges, id, (guestToHost, hostToGuest, given) => {
      const map = new IdMap({ guestToHost, hostToGuest });
      assert.equal(map.toHost(given), expected(guestToHost, given));
      assert.equal(map.toGuest(given), expected(hostToGuest, given));
    }),
    { numRuns: 1000 },
  );
});

test("what is mapped in both directions comes back", () => {
  fc.assert(
    fc.property(
      fc.nat(1 << 30),
      fc.nat(1 << 30),
      fc.integer({ min: 1, max: 1 << 30 }),
      fc.nat(),
      (guest, host, count, at) => {
        const map = new IdMap({
          guestToHost: [{ first: guest, count, kind: "shift", target: host }],
          hostToGuest: [{ first: host, count, kind: "shift", target: guest }],
        });
        const given = guest + (at % count);
        assert.equal(map.toGuest(map.toHost(given)), given);
      },
    ),
  );
});

test("'none' is mapped to itself, and cannot be in a range", () => {
  const squash: IdRange = { first: 0, count: 0xffff_ffff, kind: "squash", target: 1000 };
  const map = new IdMap({ guestToHost: [squash], hostToGuest: [] });
  assert.equal(map.toHost(ID_MAX), 1000);
  assert.equal(map.toHost(0xffff_ffff), 0xffff_ffff);
  for (const wrong of [
    { ...squash, first: 1 },
    { ...squash, count: 0 },
    { ...squash, target: 0xffff_ffff },
    { first: 0, count: 2, kind: "shift", target: ID_MAX } as const,
  ]) {
    assert.throws(() => new IdMap({ guestToHost: [wrong], hostToGuest: [] }), RangeError);
  }
});

test("ranges that overlap are refused, those that touch are not", () => {
  const range = (first: number, count: number): IdRange => ({ first, count, kind: "shift", target: 0 });
  const map = (...all: IdRange[]) => new IdMap({ guestToHost: all, hostToGuest: [] });
  assert.doesNotThrow(() => map(range(10, 10), range(0, 10)));
  assert.throws(() => map(range(10, 10), range(0, 11)), /the id 10 is in two ranges/);
});
