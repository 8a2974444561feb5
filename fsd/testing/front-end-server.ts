import assert from "node:assert/strict";
import type { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";
import type { GuestSide } from "./test-guest.js";

const REPLY_LIMIT_MS = 10_000;

/**
 * What answers a test's guest: a device, through its queues and guest memory.
 * @param letDeviceWork is called until the reply is there
 */
export function frontEndServer(frontEnd: TestFrontEnd, letDeviceWork: () => void = () => {}): GuestSide {
  return {
    handle(index, _head, readable, writable) {
      const { memory } = frontEnd;
      const driver = frontEnd.driver(index);
      const mark = memory.used;
      const half = readable.byteLength >> 1;
      const input = memory.allocate(readable.byteLength);
      readable.copyIn(0, memory.bytes, input, readable.byteLength);
      const output = memory.allocate(writable.byteLength);
      const outputs: [number, number][] = [
        [output, Math.min(16, writable.byteLength)],
        [output + 16, Math.max(0, writable.byteLength - 16)],
      ];
      const inputs: [number, number][] = [
        [input, half],
        [input + half, readable.byteLength - half],
      ];
      driver.setChain(
        3,
        inputs,
        outputs.filter(([, length]) => length > 0),
      );
      driver.offer(3);
      frontEnd.kick(index);
      const deadlineMs = performance.now() + REPLY_LIMIT_MS;
      let done = driver.take();
      while (done === undefined && performance.now() < deadlineMs) {
        letDeviceWork();
        frontEnd.serve();
        done = driver.take();
      }
      assert.equal(done?.head, 3);
      writable.copyOut(0, memory.bytes, output, done.written);
      memory.freeTo(mark);
      return done.written;
    },
    reset() {},
    close() {},
  };
}
