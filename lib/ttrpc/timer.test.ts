import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startTimer } from "./timer.js";

const NODE_TIMER_MAX_MS = 2 ** 31 - 1;

describe("timer", () => {
  it("runs longer than Node's timers can", (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    let expired = 0;
    startTimer(2 * NODE_TIMER_MAX_MS + 5, () => expired++);
    for (const step of [NODE_TIMER_MAX_MS, NODE_TIMER_MAX_MS, 4]) context.mock.timers.tick(step);
    assert.equal(expired, 0);
    context.mock.timers.tick(1);
    assert.equal(expired, 1);
  });

  it("is stopped in whichever of its steps it is", (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const stop = startTimer(NODE_TIMER_MAX_MS + 5, () => assert.fail("it expired"));
    context.mock.timers.tick(NODE_TIMER_MAX_MS);
    stop();
    context.mock.timers.tick(NODE_TIMER_MAX_MS);
  });

  it("never passes when it is infinite", (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    startTimer(Number.POSITIVE_INFINITY, () => assert.fail("it expired"))();
    context.mock.timers.tick(NODE_TIMER_MAX_MS);
  });
});
