import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { InFlight } from "./in-flight.js";

const SIZE = 16;

const tables = () => [new Float64Array(SIZE), new Uint32Array(2), new Float64Array(1)] as const;

function inFlight() {
  const memory = tables();
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

it("keeps a request that waits while any number of others are answered", () => {
  for (const others of [SIZE + 1, 0x7fff, 0xffff, 0x1_0000, 0x1_0001]) {
    const { log, again } = inFlight();
    log.clear(SIZE);
    log.took(5, 3);
    for (let index = 0; index < others; index++) {
      log.took(7, (4 + index) & 0xffff);
      log.publishes(7, (index + 1) & 0xffff);
      log.published(7);
    }
    const next = (4 + others) & 0xffff;
    log.took(8, next);
    assert.deepEqual(again().unanswered(SIZE, (next + 1) & 0xffff, others & 0xffff), [5, 8], `${others}`);
  }
});

it("leaves to the ring all that was put back", () => {
  const { log, again } = inFlight();
  log.clear(SIZE);
  for (const head of [1, 2, 3]) log.took(head, 0xfffd + head);
  assert.deepEqual(again().unanswered(SIZE, 0xffff, 0), [1]);
});

it("never loses nor repeats a request, wherever the worker dies", () => {
  const step = fc.record({ take: fc.boolean(), stopAt: fc.integer({ min: 0, max: 3 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 0xffff }), (steps, start) => {
      const memory = tables();
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
