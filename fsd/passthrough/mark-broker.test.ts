import assert from "node:assert/strict";
import { test } from "node:test";
import { MarkOperation, readMarkRequest } from "../../lib/overlay-marks/message.js";
import { MessageSocket } from "../../lib/sys/unix-socket.js";
import { createSocketPair } from "../../lib/vhost-user/testing/test-memory.js";
import { MarkBrokerSocket } from "./mark-broker.js";

test("a question is sent, and the answer to it returned", (t) => {
  const [ours, theirs] = createSocketPair();
  const other = new MessageSocket(theirs);
  t.after(() => other.close());
  const broker = new MarkBrokerSocket(ours);
  broker.path.set(Buffer.from("c1/upper/fs"));
  // In a stream the answer may be there before the question. It comes in two pieces.
  const answer = Buffer.alloc(4);
  answer.writeInt32LE(-13);
  other.send(answer.subarray(0, 3));
  other.send(answer.subarray(3));
  assert.equal(broker.ask(MarkOperation.read, 5, 6, 8), -13);

  const bytes = Buffer.alloc(100);
  const length = other.receive(bytes, 0, bytes.length, []);
  const request = readMarkRequest(bytes.subarray(0, length));
  assert.ok(request);
  assert.equal(Buffer.from(request.path).toString(), "c1/upper");
  assert.deepEqual([request.operation, request.inodeLow, request.inodeHigh], [1, 5, 6]);
});

test("once the other side is gone, every answer is EIO", () => {
  const [ours, theirs] = createSocketPair();
  const other = new MessageSocket(theirs);
  const broker = new MarkBrokerSocket(ours);
  other.send(Buffer.alloc(3));
  other.close();
  for (let attempt = 0; attempt < 2; attempt++) assert.equal(broker.ask(MarkOperation.read, 1, 0, 1), -5);
});
