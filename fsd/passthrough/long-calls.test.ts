import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { FuseReply } from "../fuse/reply.js";
import { FuseRequest } from "../fuse/request.js";
import { LongCalls } from "./long-calls.js";

const THREADS = 2;
const CALLS_MAX = 64;
const always = () => true;

/** Calls that end when the test says so. */
function rig(t: TestContext, threadsMax = THREADS) {
  const fd = openSync("/dev/null", "r");
  t.after(() => closeSync(fd));
  const before = openDescriptors().length;
  const calls = new LongCalls(threadsMax);
  const ends: ((result: number) => void)[] = [];
  const request = new FuseRequest();
  let head = 0;
  const begin = (usesGuestMemory = false, queueIndex = 1): boolean => {
    const isBegun = calls.begin([fd], {
      usesGuestMemory,
      start: ([own = -1], done) => {
        assert.notEqual(own, fd, "a call has a descriptor of its own");
        ends.push(done);
      },
      finish: (result) => result * 10,
    });
    request.view.setUint32(8, head, true);
    if (isBegun) calls.keep(request, queueIndex, head++, 0);
    return isBegun;
  };
  const answers: [head: number, unique: number | undefined, result: number][] = [];
  const reply = new FuseReply();
  const take = (isRunning: (queueIndex: number) => boolean = always) => {
    calls.takeDone(isRunning, (asked, finish) => answers.push([asked.head, asked.header[8], finish(reply)]));
    return answers.splice(0);
  };
  const descriptors = () => openDescriptors().length - before;
  return { calls, ends, begin, take, descriptors };
}

test("calls run side by side up to a number, the others in their order, and are answered as they end", (t) => {
  const { ends, begin, take, descriptors } = rig(t);
  for (let count = 0; count < 4; count++) assert.ok(begin());
  assert.equal(ends.length, 2);
  assert.equal(descriptors(), 4);
  assert.deepEqual(take(), []);
  ends[1]?.(7);
  assert.equal(ends.length, 3, "the next one has started");
  assert.deepEqual(take(), [[1, 1, 70]]);
  ends[0]?.(5);
  ends[2]?.(6);
  ends[3]?.(8);
  assert.deepEqual(take(), [
    [0, 0, 50],
    [2, 2, 60],
    [3, 3, 80],
  ]);
  assert.equal(descriptors(), 0);
});

test("without threads, and with too many calls, nothing is begun", (t) => {
  assert.equal(rig(t, 0).begin(), false);
  const { calls, begin, ends, take, descriptors } = rig(t);
  for (let count = 0; count < CALLS_MAX; count++) assert.ok(begin());
  assert.equal(begin(), false);
  ends[0]?.(0);
  assert.equal(begin(), false, "an answer that was not taken counts");
  take();
  assert.ok(begin());
  calls.reset();
  for (const end of ends) end(0);
  assert.equal(descriptors(), 0);
});

test("an answer waits for its queue", (t) => {
  const { calls, begin, ends, take } = rig(t);
  begin(false, 1);
  begin(false, 2);
  for (const end of ends) end(1);
  const onlySecond = (queueIndex: number) => queueIndex === 2;
  assert.ok(calls.hasDone(onlySecond));
  assert.deepEqual(take(onlySecond), [[1, 1, 10]]);
  assert.equal(calls.hasDone(onlySecond), false);
  assert.deepEqual(take(), [[0, 0, 10]]);
});

test("after a reset nothing is answered; what runs keeps its descriptor and its memory until it ends", (t) => {
  const { calls, begin, ends, take, descriptors } = rig(t);
  let unused = 0;
  calls.onMemoryUnused = () => unused++;
  for (let count = 0; count < 3; count++) begin(true);
  ends[0]?.(0);
  assert.ok(calls.usesGuestMemory);
  calls.reset();
  // One is done, two run.
  assert.equal(descriptors(), 2);
  assert.ok(calls.usesGuestMemory);
  ends[1]?.(0);
  assert.equal(unused, 0);
  ends[2]?.(0);
  assert.equal(unused, 1);
  assert.equal(descriptors(), 0);
  assert.deepEqual(take(), []);
  assert.ok(begin(), "it can be used again");
  assert.equal(ends.length, 4);
  ends[3]?.(0);
  assert.deepEqual(take(), [[3, 3, 0]]);
});
