import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseReplayLine, replayLine } from "./corpus.js";
import { Decisions } from "./decisions.js";
import { type FuzzOptions, fuzz } from "./engine.js";
import { minimise } from "./minimise.js";
import { freshInput, mutate } from "./mutate.js";
import { Random } from "./random.js";
import type { FuzzTarget } from "./target.js";

const OPTIONS: FuzzOptions = { inputs: 20_000, seed: 1, corpus: [], isGuided: false };

function targetOf(run: (input: Uint8Array) => void): FuzzTarget {
  return {
    name: "test",
    covers: /\/fuzz\/engine\.test\.ts$/,
    run(input) {
      run(input);
      return 1;
    },
    close() {},
  };
}

function steps(input: Uint8Array): number {
  if (input[0] !== 0x6b) return 0;
  if (input[1] !== 0x61) return 1;
  return 2;
}

describe("fuzz", () => {
  it("finds what breaks a target, and the shortest input that does", async () => {
    const { failure, inputs } = await fuzz(
      targetOf((input) => assert.ok(!input.includes(0x42), "0x42")),
      OPTIONS,
    );
    assert.deepEqual([...(failure?.input ?? [])], [0x42]);
    assert.match(failure?.error ?? "", /0x42/);
    assert.ok(inputs < OPTIONS.inputs);
  });

  it("goes on to the end where nothing breaks, the same way for the same seed", async () => {
    const story = async (seed: number) => {
      const inputs: string[] = [];
      const note = (input: Uint8Array) => inputs.push(Buffer.from(input).toString("hex"));
      const report = await fuzz(targetOf(note), { ...OPTIONS, inputs: 200, seed });
      assert.equal(report.failure, undefined);
      return inputs;
    };
    assert.deepEqual(await story(7), await story(7));
    assert.notDeepEqual(await story(7), await story(8));
  });

  it("keeps what reached code that nothing reached before, and goes on from there", async () => {
    const options = { ...OPTIONS, corpus: [new Uint8Array(4)], isGuided: true };
    const { corpus, covered, coverable } = await fuzz(targetOf(steps), options);
    assert.ok(corpus.length >= 2 && corpus.length <= 4, `${corpus.length} inputs are kept`);
    assert.ok(corpus.slice(1).every((input) => input[0] === 0x6b));
    assert.ok(covered > 0 && covered <= coverable);
    assert.equal((await fuzz(targetOf(steps), OPTIONS)).corpus.length, 0, "without coverage nothing is kept");
  });

  it("waits for a target that is not done at once", async () => {
    const target = { ...targetOf(() => {}), run: () => Promise.reject(new Error("late")) };
    assert.match((await fuzz(target, OPTIONS)).failure?.error ?? "", /late/);
  });
});

describe("the parts of the fuzzer", () => {
  it("leave out what an input does not need", async () => {
    const input = Uint8Array.from({ length: 200 }, (_, index) => index);
    const fails = async (one: Uint8Array) => one.includes(10) && one.includes(190);
    assert.deepEqual([...(await minimise(input, fails))], [10, 190]);
  });

  it("never change the seed that an input is made of", () => {
    const random = new Random(3);
    const seed = freshInput(random);
    const before = seed.slice();
    for (let index = 0; index < 2000; index++) mutate(seed, seed, random);
    assert.deepEqual(seed, before);
  });

  it("decide dully behind the end of an input", () => {
    const decisions = new Decisions(Uint8Array.of(1, 2, 3, 4, 5));
    assert.equal(decisions.uint32(), 0x04030201);
    assert.equal(decisions.isOver, false);
    assert.equal(decisions.below(4), 1);
    assert.equal(decisions.isOver, true);
    assert.deepEqual([decisions.number64(), decisions.happens(255), decisions.pick([7, 8])], [0n, false, 7]);
  });

  it("write an input down for a replay", () => {
    const input = Uint8Array.of(0, 255, 10);
    assert.deepEqual(parseReplayLine(replayLine("vhost-user", input)), { target: "vhost-user", input });
    assert.throws(() => parseReplayLine("fuse §"), SyntaxError);
  });
});
