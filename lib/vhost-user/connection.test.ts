import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { SysError } from "../sys/errno.js";
import { close } from "../sys/file.js";
import { openDescriptors } from "../sys/testing/open-descriptors.js";
import { MessageSocket } from "../sys/unix-socket.js";
import { MessageReceiver } from "./connection.js";
import { encodeMessage, VhostUserError } from "./message.js";
import { createSocketPair } from "./testing/test-memory.js";

function connect(): { sender: MessageSocket; receiver: MessageReceiver; end: () => void } {
  const [left, right] = createSocketPair();
  const sender = new MessageSocket(left);
  const socket = new MessageSocket(right);
  const receiver = new MessageReceiver(socket);
  return {
    sender,
    receiver,
    end: () => {
      receiver.close();
      sender.close();
      socket.close();
    },
  };
}

/** A descriptor to be sent. */
function file(t: TestContext): number {
  const fd = openSync("/dev/null", "r");
  t.after(() => close(fd));
  return fd;
}

describe("MessageReceiver", () => {
  it("puts messages together from whatever pieces they come in, each with its descriptors", (t) => {
    const fd = file(t);
    const message = fc.record({
      request: fc.nat(50),
      payload: fc.uint8Array({ maxLength: 200 }),
      fds: fc.nat(8),
    });
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
        (messages, pieces) => {
          const before = openDescriptors().length;
          const { sender, receiver, end } = connect();
          const received: { request: number; payload: number[]; fds: number }[] = [];
          const drain = () => {
            for (let one = receiver.receive(); typeof one !== "string"; one = receiver.receive()) {
              received.push({ request: one.header.request, payload: [...one.payload], fds: one.fds.length });
              for (const taken of one.fds) close(taken);
            }
          };
          let turn = 0;
          for (const { request, payload, fds } of messages) {
            const whole = encodeMessage(request, "request", payload);
            for (let at = 0; at < whole.length; ) {
              const length = pieces[turn++ % pieces.length] ?? 1;
              sender.send(whole.subarray(at, at + length), at === 0 ? new Array<number>(fds).fill(fd) : []);
              at += length;
              if (turn % 3 === 0) drain();
            }
          }
          drain();
          assert.deepEqual(
            received,
            messages.map((one) => ({ ...one, payload: [...one.payload] })),
          );
          end();
          assert.equal(openDescriptors().length, before);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("leaves no descriptor open, whatever bytes and descriptors come", (t) => {
    const fd = file(t);
    const piece = fc.record({
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 60 }),
        fc.nat(60).map((length) => encodeMessage(1, "request", Buffer.alloc(length))),
      ),
      fds: fc.nat(16),
    });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const before = openDescriptors().length;
        const { sender, receiver, end } = connect();
        for (const { bytes, fds } of pieces) sender.send(bytes, new Array<number>(fds).fill(fd));
        sender.close();
        try {
          for (let one = receiver.receive(); one !== "end"; one = receiver.receive()) {
            assert.notEqual(one, "empty", "the other side has gone");
            if (typeof one !== "string") for (const taken of one.fds) close(taken);
          }
        } catch (error) {
          assert.ok(error instanceof VhostUserError || error instanceof SysError, String(error));
        }
        end();
        assert.equal(openDescriptors().length, before);
      }),
      { numRuns: 300 },
    );
  });

  it("has an end, in the midst of a message too", (t) => {
    const fd = file(t);
    const before = openDescriptors().length;
    const { sender, receiver, end } = connect();
    sender.send(encodeMessage(37, "request", Buffer.alloc(40)).subarray(0, 20), [fd]);
    assert.equal(receiver.receive(), "empty");
    sender.close();
    assert.equal(receiver.receive(), "end");
    end();
    assert.equal(openDescriptors().length, before);
  });
});
