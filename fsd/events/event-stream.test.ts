import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageSocket } from "../../lib/sys/unix-socket.js";
import { createSocketPair } from "../../lib/vhost-user/testing/test-memory.js";
import { EventStream } from "./event-stream.js";
import type { HostEvent } from "./host-event.js";

const event = (name: string): HostEvent => ({
  device: "tag",
  kind: "create",
  directory: "",
  node: "1",
  name,
  oldName: "",
  type: 0,
  isKept: false,
});

test("whoever follows gets lines; one that does not read holds nobody up", (t) => {
  const [ours, theirs] = createSocketPair();
  const stream = new EventStream(ours);
  const follower = new MessageSocket(theirs);
  t.after(() => {
    stream.close();
    follower.close();
  });
  stream.queue.add(event("a"));
  stream.queue.add(event("b"));
  assert.ok(stream.flush());
  const buffer = Buffer.alloc(1 << 16);
  const length = follower.receive(buffer, 0, buffer.length, []);
  const lines = buffer.toString("utf8", 0, length).trimEnd().split("\n");
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).name),
    ["a", "b"],
  );

  for (let index = 0; !stream.isBehind; index++) {
    stream.queue.add(event(`${index}`.padStart(200, "x")));
    assert.ok(stream.flush());
  }
  stream.queue.add(event("last"));
  let text = "";
  while (!text.includes('"last"')) {
    const more = follower.receive(buffer, 0, buffer.length, []);
    if (more > 0) text += buffer.toString("utf8", 0, more);
    assert.ok(stream.flush());
  }
  for (const line of text.trimEnd().split("\n")) JSON.parse(line);
  assert.ok(stream.isAlive());
});

test("one that is gone is noticed by looking, and by sending", () => {
  const [ours, theirs] = createSocketPair();
  const stream = new EventStream(ours);
  new MessageSocket(theirs).close();
  assert.equal(stream.isAlive(), false);
  stream.queue.add(event("a"));
  assert.equal(stream.flush(), false);
  stream.close();
});
