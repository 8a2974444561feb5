import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { InFlight } from "./in-flight.js";

const SIZE = 16;

function inFlight() {
  const memory: [Uint32Array, Uint32Array] = [new Uint32Array(SIZE), new Uint32Array(2)];
  return { log: new InFlight(...memory), again: () => new InFlight(...memory) };
}

it("finds what was taken and not answered, in the order of the available ring", () => {
  const { log, again } = inFlight();
  log.took(7, 0xfffe);
  log.took(3, 0xffff);
  log.took(5, 0);
  log.publishes(3, 40);
  log.published(3);
  assert.deepEqual(again().unanswered(SIZE, 1, 40), [7, 5]);
});

it("knows by the used index whether the answer that was being shown was seen", () => {
  for (const usedIndex of [9, 10]) {
    const { log, again } = inFlight();
    log.took(4, 0);
    log.publishes(4, 10);
    assert.deepEqual(again().unanswered(SIZE, 1, usedIndex), usedIndex === 10 ? [] : [4]);
  }
});

it("leaves to the ring what was not counted as taken, or was put back", () => {
  const { log, again } = inFlight();
  log.took(4, 8);
  assert.deepEqual(again().unanswered(SIZE, 8, 0), []);
});

it("never loses nor repeats a request, wherever the worker dies", () => {
  const step = fc.record({ take: fc.boolean(), stopAt: fc.integer({ min: 0, max: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 0xffff }), (steps, start) => {
      const memory: [Uint32Array, Uint32Array] = [new Uint32Array(SIZE), new Uint32Array(2)];
      let log = new InFlight(...memory);
      let [lastAvail, usedIndex] = [start, 0];
      const free = Array.from({ length: SIZE }, (_, head) => head);
      const taken: number[] = [];
      for (const { take, stopAt } of steps) {
        if (take && free.length > 0) {
          const head = free[0] ?? 0;
          log.took(head, lastAvail);
          if (stopAt !== 0) {
            lastAvail = (lastAvail + 1) & 0xffff;
            taken.push(head);
            free.shift();
          }
        } else if (!take && taken.length > 0) {
          const head = taken[Math.min(stopAt, taken.length - 1)] ?? 0;
          const next = (usedIndex + 1) & 0xffff;
          log.publishes(head, next);
          if (stopAt > 0) {
            usedIndex = next;
            taken.splice(taken.indexOf(head), 1);
            free.push(head);
          }
          if (stopAt > 1) log.published(head);
        }
        if (stopAt === 3) continue;
        log = new InFlight(...memory);
        assert.deepEqual(log.unanswered(SIZE, lastAvail, usedIndex), taken);
      }
    }),
  );
});
