import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MarkOperation, readMarkRequest } from "../../lib/overlay-marks/message.js";
import { MessageSocket } from "../../lib/sys/unix-socket.js";
import { createSocketPair } from "../../lib/vhost-user/testing/test-memory.js";
import { SESSION } from "../state.js";
import { MarkBrokerSocket } from "./mark-broker.js";

function pair(t: TestContext) {
  const [ours, theirs] = createSocketPair();
  const other = new MessageSocket(theirs);
  t.after(() => other.close());
  const session = new DataView(new ArrayBuffer(SESSION.bytes));
  return { other, session, broker: new MarkBrokerSocket(ours, session), ours };
}

function reply(number: number, result: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32LE(result);
  bytes.writeUInt32LE(number, 4);
  return bytes;
}

test("a question is sent, and the answer to it returned", (t) => {
  const { broker, other } = pair(t);
  broker.path.set(Buffer.from("c1/upper/fs"));
  // In a stream the answer may be there before the question. It comes in two pieces.
  const answer = reply(1, -13);
  other.send(answer.subarray(0, 3));
  other.send(answer.subarray(3));
  assert.equal(broker.ask(MarkOperation.read, 5, 6, 8), -13);

  const bytes = Buffer.alloc(100);
  const length = other.receive(bytes, 0, bytes.length, []);
  const request = readMarkRequest(bytes.subarray(0, length));
  assert.ok(request);
  assert.equal(Buffer.from(request.path).toString(), "c1/upper");
  assert.deepEqual([request.operation, request.inodeLow, request.inodeHigh, request.number], [1, 5, 6, 1]);
});

test("what a worker asked that died is not answered to the next", (t) => {
  const { broker, other, session, ours } = pair(t);
  other.send(reply(1, 0));
  assert.equal(broker.ask(MarkOperation.set, 5, 6, 1), 0);
  // It asked once more.
  session.setUint32(SESSION.markRequest, 2, true);
  const next = new MarkBrokerSocket(ours, session);
  other.send(Buffer.concat([reply(2, 0x79), reply(3, -2)]));
  assert.equal(next.ask(MarkOperation.read, 7, 8, 1), -2);
});

test("numbers of questions begin anew after the last", (t) => {
  const { broker, other, session } = pair(t);
  session.setUint32(SESSION.markRequest, 0xffff_ffff, true);
  other.send(reply(0, 0x79));
  assert.equal(broker.ask(MarkOperation.read, 5, 6, 1), 0x79);
});

test("once the other side is gone, every answer is EIO", (t) => {
  const { broker, other } = pair(t);
  other.send(Buffer.alloc(3));
  other.close();
  for (let attempt = 0; attempt < 2; attempt++) assert.equal(broker.ask(MarkOperation.read, 1, 0, 1), -5);
});
