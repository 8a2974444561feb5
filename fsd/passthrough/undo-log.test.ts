import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { createFsdState, UNDO } from "../state.js";
import { deviceLimits } from "./state-limits.js";
import { UndoLog } from "./undo-log.js";

/** A log, and what another worker reads in the same memory. */
function logs() {
  const state = createFsdState(deviceLimits(0));
  return { log: new UndoLog(state), next: () => new UndoLog(state) };
}

it("names the request that is being served, and nothing before the first", () => {
  const { log, next } = logs();
  assert.equal(next().queueIndex, -1);
  log.begin(1, 77, false);
  const { queueIndex, head, handle, wasThere } = next();
  assert.deepEqual([queueIndex, head, handle, wasThere], [1, 77, 0, undefined]);
  log.noteHandle(5);
  assert.equal(next().handle, 5);
  log.begin(0, 3, false);
  assert.equal(next().handle, 0);
});

it("takes changes of references back, the last one first, and once", () => {
  const change = fc.record({
    slot: fc.integer({ min: 1, max: 4 }),
    sequence: fc.nat({ max: 0xffff_ffff }),
    lookups: fc.double({ min: 1, max: 2 ** 53, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 20 }), fc.nat({ max: 20 }), (changes, servedBefore) => {
      const { log, next } = logs();
      log.begin(0, 1, false);
      for (const { slot, sequence, lookups } of changes.slice(0, servedBefore))
        log.noteLookups(slot, sequence, lookups);
      log.begin(0, 2, false);
      for (const { slot, sequence, lookups } of changes) log.noteLookups(slot, sequence, lookups);
      const taken: object[] = [];
      const take = () =>
        next().takeBack((slot, sequence, lookups) => taken.push({ slot, sequence, lookups }));
      take();
      assert.deepEqual(
        taken,
        changes.toReversed().map((entry) => ({ ...entry })),
      );
      take();
      assert.equal(taken.length, changes.length);
    }),
  );
});

it("is of no request that was answered, whose head the next one may have", () => {
  const { log, next } = logs();
  log.begin(0, 9, false);
  log.noteHandle(5);
  log.end();
  assert.equal(next().queueIndex, -1);
});

it("still names a request whose second attempt ends before its first step", () => {
  const { log, next } = logs();
  log.begin(1, 9, false);
  log.noteFound(true);
  next().begin(1, 9, true);
  const third = next();
  assert.deepEqual([third.queueIndex, third.head, third.wasThere], [1, 9, true]);
});

it("has room for a READDIRPLUS, and stays within its memory for more", () => {
  const { log, next } = logs();
  log.begin(0, 1, false);
  for (let slot = 1; slot <= UNDO.recordsMax + 1; slot++) log.noteLookups(slot, 0, 1);
  const slots: number[] = [];
  next().takeBack((slot) => slots.push(slot));
  assert.deepEqual([slots.length, slots[0], slots.at(-1)], [UNDO.recordsMax, UNDO.recordsMax, 1]);
});

it("keeps what the first attempt found, for as long as the request is served anew", () => {
  const { log, next } = logs();
  log.begin(0, 1, false);
  log.noteFound(true, 7, 8);
  const second = next();
  second.begin(0, 1, true);
  second.noteFound(false);
  assert.deepEqual([second.wasThere, second.wasInode(7, 8), second.wasInode(7, 9)], [true, true, false]);
  const third = next();
  third.begin(0, 1, true);
  assert.equal(third.wasThere, true, "it may be served anew again");
  third.begin(0, 2, false);
  assert.deepEqual([third.wasThere, third.wasInode(7, 8)], [undefined, false]);
  third.noteFound(false);
  assert.deepEqual([third.wasThere, third.wasInode(0, 0)], [false, false]);
});
