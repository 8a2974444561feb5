import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RingPolling } from "./ring-polling.js";

const NEVER = Number.POSITIVE_INFINITY;

/** A driver whose next request comes after a time, and a clock that goes on by a microsecond with each look at it or at the ring. */
class Simulation {
  nowMs = 0;
  requestAtMs = NEVER;
  isCallRunning = false;
  readonly polling = new RingPolling(
    () => this.#tick() >= this.requestAtMs,
    () => this.isCallRunning,
    () => this.#tick(),
  );

  /** Time that was spent looking until a request that comes after `thinkMs`. */
  cycle(thinkMs: number): { found: boolean; spentMs: number } {
    const startMs = this.nowMs;
    this.requestAtMs = startMs + thinkMs;
    const found = this.polling.look();
    const spentMs = this.nowMs - startMs;
    this.nowMs = Math.max(this.nowMs, this.requestAtMs === NEVER ? 0 : this.requestAtMs);
    this.requestAtMs = NEVER;
    return { found, spentMs };
  }

  #tick(): number {
    this.nowMs += 0.001;
    return this.nowMs;
  }
}

describe("RingPolling", () => {
  it("finds the requests of a driver that asks one after the other", () => {
    const simulation = new Simulation();
    for (let request = 0; request < 1000; request++) assert.ok(simulation.cycle(0.03).found);
  });

  it("gives up where requests come later, but for a try now and then", () => {
    const simulation = new Simulation();
    for (let request = 0; request < 10; request++) simulation.cycle(1);
    const spent = Array.from({ length: 320 }, () => simulation.cycle(1).spentMs);
    const tries = spent.filter((ms) => ms > 0.005);
    assert.equal(tries.length, 10);
    assert.ok(Math.max(...tries) < 0.04);
  });

  it("begins again when the driver has become fast", () => {
    const simulation = new Simulation();
    for (let request = 0; request < 10; request++) simulation.cycle(1);
    const found = Array.from({ length: 50 }, () => simulation.cycle(0.005).found);
    assert.ok(!found[0]);
    assert.ok(found.slice(-10).every(Boolean));
  });

  it("is no use where only the kernel can tell what happens", () => {
    const simulation = new Simulation();
    simulation.isCallRunning = true;
    assert.ok(simulation.cycle(0.03).spentMs < 0.005);
  });
});
