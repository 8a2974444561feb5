import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Duplex, PassThrough } from "node:stream";
import { test } from "node:test";
import { QmpClient, QmpError, type QmpEvent } from "./qmp.js";

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": ""}, "capabilities": []}}';

/** The other end of a monitor: what the client sent, and a way to answer. */
function monitor() {
  const toClient = new PassThrough();
  const fromClient = new PassThrough();
  const stream = Duplex.from({ readable: toClient, writable: fromClient });
  const commands = createInterface({ input: fromClient })[Symbol.asyncIterator]();
  return {
    stream,
    say: (text: string) => toClient.write(text),
    hangUp: () => toClient.end(),
    async nextCommand(): Promise<Record<string, unknown>> {
      const { value } = await commands.next();
      return JSON.parse(value);
    },
  };
}

/** A monitor with a client that has ended the negotiation. */
async function connected(onEvent: (event: QmpEvent) => void = () => {}) {
  const peer = monitor();
  peer.say(`${GREETING}\r\n`);
  const connecting = QmpClient.connect(peer.stream, onEvent);
  assert.deepEqual(await peer.nextCommand(), { execute: "qmp_capabilities", id: 1 });
  peer.say('{"return": {}, "id": 1}\n');
  return { ...peer, client: await connecting };
}

test("tells QEMU's version", async () => {
  const { client } = await connected();
  assert.equal(client.version, "11.1.3");
});

test("answers go to the commands that they are for, in whatever order and pieces they come", async () => {
  const { client, say, nextCommand } = await connected();
  const first = client.execute("query-status");
  const second = client.execute("device_add", { driver: "x" });
  assert.deepEqual(await nextCommand(), { execute: "query-status", id: 2 });
  assert.deepEqual(await nextCommand(), { execute: "device_add", id: 3, arguments: { driver: "x" } });
  say('{"return": {"n": 3}, "id": 3}\n{"return": {"ru');
  say('nning": true}, "id": 2}\r\n');
  assert.deepEqual(await first, { running: true });
  assert.deepEqual(await second, { n: 3 });
});

test("a refused command is told with QEMU's reason", async () => {
  const { client, say } = await connected();
  const refused = client.execute("device_add");
  say('{"error": {"class": "GenericError", "desc": "no such bus"}, "id": 2}\n');
  await assert.rejects(refused, new QmpError("QMP device_add: no such bus"));
});

test("events come between answers", async () => {
  const events: QmpEvent[] = [];
  const { client, say } = await connected((event) => events.push(event));
  const answer = client.execute("stop");
  say(
    '{"event": "STOP", "timestamp": {"seconds": 1}}\n{"event": "RESET", "data": {"guest": true}}\n{"return": {}, "id": 2}\n',
  );
  await answer;
  assert.deepEqual(events, [
    { name: "STOP", data: {} },
    { name: "RESET", data: { guest: true } },
  ]);
});

test("the end of the monitor fails what waits, and what comes later", async () => {
  const { client, hangUp } = await connected();
  const waiting = client.execute("stop");
  hangUp();
  await assert.rejects(waiting, new QmpError("QMP: the monitor is closed"));
  await assert.rejects(client.execute("cont"), new QmpError("QMP: the monitor is closed"));
});

for (const [what, text, error] of [
  ["nothing", undefined, /the monitor is closed/],
  ["something else than JSON", "qemu: no\n", /not JSON: qemu: no/],
  ["another protocol", '{"hello": 1}\n', /no greeting of QEMU: \{"hello": 1\}/],
  ["no object", "[]\n", /not an object: \[\]/],
] as const) {
  test(`a peer that says ${what} is no monitor`, async () => {
    const { stream, say, hangUp } = monitor();
    const connecting = QmpClient.connect(stream, () => {});
    if (text === undefined) hangUp();
    else say(text);
    await assert.rejects(connecting, (thrown) => thrown instanceof QmpError && error.test(thrown.message));
  });
}

test("an answer to no command ends the connection", async () => {
  const { client, say } = await connected();
  const waiting = client.execute("stop");
  say('{"return": {}, "id": 99}\n');
  await assert.rejects(waiting, /an answer that nobody waits for: \{"return": \{\}, "id": 99\}/);
});

test("a command with a descriptor goes past the stream, when that has nothing left", async () => {
  const sent: [string, number][] = [];
  const peer = monitor();
  peer.say(`${GREETING}\r\n`);
  const connecting = QmpClient.connect(
    peer.stream,
    () => {},
    (line, fd) => {
      sent.push([Buffer.from(line).toString(), fd]);
      peer.say('{"return": {"fd": 12}, "id": 2}\n');
    },
  );
  await peer.nextCommand();
  peer.say('{"return": {}, "id": 1}\n');
  const client = await connecting;
  assert.deepEqual(await client.executeWith(7, "add-fd", { "fdset-id": 1 }), { fd: 12 });
  assert.deepEqual(sent, [['{"execute":"add-fd","id":2,"arguments":{"fdset-id":1}}\n', 7]]);
});

test("a command with a descriptor needs a way for it", async () => {
  const { client } = await connected();
  await assert.rejects(client.executeWith(7, "add-fd"), /takes no descriptors/);
});

test("who listens hears of events until he stops", async () => {
  const { client, say, nextCommand } = await connected();
  const heard: string[] = [];
  const stop = client.listen(({ name }) => heard.push(name));
  const inOrder = async (id: number) => {
    const answer = client.execute("query-status");
    await nextCommand();
    say(`{"event": "E${id}"}\n{"return": {}, "id": ${id}}\n`);
    await answer;
  };
  await inOrder(2);
  stop();
  await inOrder(3);
  assert.deepEqual(heard, ["E2"]);
});
