import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { drainEventfd } from "../sys/eventfd.js";
import { close } from "../sys/file.js";
import { openDescriptors } from "../sys/testing/open-descriptors.js";
import { MessageSocket } from "../sys/unix-socket.js";
import { VirtqueueError } from "../virtio/virtqueue-error.js";
import { VhostUserBackend } from "./backend.js";
import type { VhostUserDeviceModel } from "./device-model.js";
import { encodeMessage, u64Payload, VhostUserError, VhostUserRequest } from "./message.js";
import { TestFrontEnd } from "./testing/test-front-end.js";
import { createSocketPair } from "./testing/test-memory.js";

const PAGE = 4096;
const u32 = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
const u64 = (...values: number[]) => Buffer.from(BigUint64Array.from(values, BigInt).buffer);

const MODEL: VhostUserDeviceModel = {
  queueCount: 2,
  features: 1n,
  config: Buffer.from("configuration space"),
  shmemSizesBytes: [1 << 20],
  acknowledges: true,
};

interface Rig {
  readonly backend: VhostUserBackend;
  readonly frontEnd: TestFrontEnd;
  /** What the back end reported. */
  readonly events: string[];
}

function rig(
  t: TestContext,
  options: { isStarted?: boolean; model?: Partial<VhostUserDeviceModel> } = {},
): Rig {
  const [ours, theirs] = createSocketPair();
  const events: string[] = [];
  const backend = new VhostUserBackend(
    theirs,
    { ...MODEL, ...options.model },
    {
      queueStarted: (index) => events.push(`started ${index}`),
      queueStopped: (index) => events.push(`stopped ${index}`),
      deviceReset: () => events.push("reset"),
      backendSocket: () => events.push("socket"),
      queueBroken: (index) => events.push(`broken ${index}`),
    },
  );
  const frontEnd = new TestFrontEnd(ours, () => backend.receive(), {
    queueCount: 2,
    queueSize: 8,
    memoryBytes: 64 * PAGE,
  });
  if (options.isStarted !== false) frontEnd.start();
  t.after(() => {
    backend.close();
    frontEnd.close();
  });
  events.length = 0;
  return { backend, frontEnd, events };
}

/** Offers a buffer on queue 0. */
function offer({ frontEnd }: Rig, head = 0): void {
  frontEnd.driver(0).setChain(head, [], [[32 * PAGE, 16]]);
  frontEnd.driver(0).offer(head);
}

describe("VhostUserBackend", () => {
  it("offers what it has", (t) => {
    const { frontEnd } = rig(t, { isStarted: false });
    const bits = (request: number) => frontEnd.ask(request).readBigUInt64LE(0);
    assert.equal(bits(VhostUserRequest.GET_FEATURES), (1n << 32n) | (7n << 28n) | 1n);
    const always = 1n | (1n << 9n) | (1n << 13n) | (1n << 15n);
    const sharing = (1n << 5n) | (1n << 10n) | (1n << 22n);
    assert.equal(bits(VhostUserRequest.GET_PROTOCOL_FEATURES), always | sharing | (1n << 3n));
    assert.equal(bits(VhostUserRequest.GET_QUEUE_NUM), 2n);
    assert.equal(bits(VhostUserRequest.GET_MAX_MEM_SLOTS), 509n);
    assert.equal(frontEnd.ask(VhostUserRequest.GET_SHMEM_CONFIG).readBigUInt64LE(8), 1n << 20n);
    const plain = rig(t, { isStarted: false, model: { shmemSizesBytes: [], acknowledges: false } });
    const reply = plain.frontEnd.ask(VhostUserRequest.GET_PROTOCOL_FEATURES);
    assert.equal(reply.readBigUInt64LE(0), always);
  });

  it("reads its configuration out, answers nothing for what is beyond it, and takes no writes", (t) => {
    const { frontEnd } = rig(t);
    const get = (offset: number, size: number, room = size) =>
      frontEnd.ask(VhostUserRequest.GET_CONFIG, Buffer.concat([u32(offset, size, 0), Buffer.alloc(room)]));
    assert.equal(get(3, 6).subarray(12).toString(), "figura");
    assert.equal(get(14, 6).length, 0);
    assert.equal(get(0, 0xffff_ffff, 8).length, 0);
    assert.equal(get(0, 8, 4).length, 0);
    frontEnd.tell(VhostUserRequest.SET_CONFIG, Buffer.concat([u32(0, 4, 0), Buffer.from("XXXX")]));
    assert.equal(get(0, 4).subarray(12).toString(), "conf");
  });

  it("has a queue run while it is started and enabled, two states that do not touch each other", (t) => {
    const one = rig(t);
    const { backend, frontEnd, events } = one;
    assert.ok(backend.queues.get(0));
    frontEnd.tell(VhostUserRequest.SET_VRING_ENABLE, u32(0, 0));
    assert.equal(backend.queues.get(0), undefined);
    frontEnd.tell(VhostUserRequest.SET_VRING_ENABLE, u32(0, 1));
    offer(one);
    backend.queues.complete(0, running(backend), running(backend).next(), 5);
    assert.deepEqual(frontEnd.driver(0).take(), { head: 0, written: 5 });
    assert.equal(frontEnd.stopQueue(0), 1);
    assert.equal(backend.queues.get(0), undefined);
    assert.equal(backend.queues.kickFd(0), -1);
    assert.ok(backend.queues.areRunning, "the other one runs on");
    // Started again without SET_VRING_ENABLE: it is enabled still.
    const fd = openSync("/dev/null", "r+");
    frontEnd.tell(VhostUserRequest.SET_VRING_KICK, u64(0), [fd]);
    close(fd);
    assert.ok(backend.queues.get(0));
    assert.deepEqual(events, ["started 0", "stopped 0", "started 0"]);
  });

  it("stops and disables all queues on RESET_DEVICE", (t) => {
    const { backend, frontEnd, events } = rig(t);
    assert.ok(frontEnd.tellAndWait(VhostUserRequest.RESET_DEVICE, Buffer.alloc(0)));
    assert.equal(backend.queues.areRunning, false);
    assert.deepEqual(events, ["stopped 0", "stopped 1", "reset"]);
    frontEnd.tell(VhostUserRequest.SET_FEATURES, u64Payload(1n << 30n));
    frontEnd.startQueue(0);
    assert.ok(backend.queues.get(0));
  });

  it("tells a queue that goes on from one that begins anew, which means a reset", (t) => {
    const one = rig(t);
    const { backend, frontEnd, events } = one;
    offer(one);
    backend.queues.complete(0, running(backend), running(backend).next(), 5);
    const bases = [frontEnd.stopQueue(0), frontEnd.stopQueue(1)];
    assert.deepEqual(bases, [1, 0]);
    for (const [index, base] of bases.entries()) frontEnd.startQueue(index, base);
    assert.ok(!events.includes("reset"));
    for (const index of bases.keys()) frontEnd.stopQueue(index);
    for (const index of bases.keys()) frontEnd.startQueue(index, 0);
    assert.deepEqual(
      events.filter((event) => event === "reset"),
      ["reset"],
    );
  });

  it("gives back requests in flight when the queue is stopped, to be taken again", (t) => {
    const one = rig(t);
    const { backend, frontEnd } = one;
    offer(one);
    const queue = running(backend);
    const head = queue.next();
    assert.equal(frontEnd.stopQueue(0), 0);
    assert.equal(backend.queues.complete(0, queue, head, 0), false);
    assert.equal(frontEnd.driver(0).take(), undefined);
    frontEnd.startQueue(0, 0);
    assert.equal(running(backend).next(), head);
  });

  it("drops the queues of a region that goes, and keeps held memory of it", (t) => {
    const one = rig(t);
    const { backend, frontEnd } = one;
    offer(one);
    const queue = running(backend);
    const head = queue.next();
    backend.state.memory.hold();
    const base = 0x7f00_0000_0000;
    const region = u64(0, 0, frontEnd.memory.byteLength, base, 0);
    assert.ok(frontEnd.tellAndWait(VhostUserRequest.REM_MEM_REG, region));
    assert.equal(backend.queues.areRunning, false);
    assert.equal(queue.writable.copyOut(0, Buffer.alloc(16, 7), 0, 16), 16);
    assert.equal(frontEnd.memory.bytes[32 * PAGE], 7);
    assert.equal(backend.queues.complete(0, queue, head, 16), false);
    backend.state.memory.release();
    assert.equal(frontEnd.tellAndWait(VhostUserRequest.REM_MEM_REG, region), false, "it has gone");
  });

  it("refuses what cannot be, with an answer if one is wanted", (t) => {
    const { backend, frontEnd } = rig(t);
    const before = openDescriptors().length;
    const fd = openSync("/dev/null", "r");
    const wrong: [number, Buffer, number[]][] = [
      [VhostUserRequest.SET_VRING_NUM, u32(0, 16), []],
      [VhostUserRequest.SET_VRING_BASE, u32(0, 0), []],
      [VhostUserRequest.SET_VRING_NUM, u32(2, 8), []],
      [VhostUserRequest.SET_VRING_ENABLE, u32(0xffff_ffff, 1), []],
      [VhostUserRequest.SET_VRING_KICK, u64(0), []],
      [VhostUserRequest.SET_VRING_KICK, u64(0x100), [fd]],
      [VhostUserRequest.SET_VRING_CALL, u64(7), [fd, fd]],
      [VhostUserRequest.SET_BACKEND_REQ_FD, u64(0), []],
      [VhostUserRequest.ADD_MEM_REG, u64(0, 0, PAGE, 0, 0), [fd]],
      [VhostUserRequest.ADD_MEM_REG, u64(0, 1 << 30, PAGE, 0, 0), []],
      [VhostUserRequest.SET_MEM_TABLE, Buffer.concat([u32(1, 0), u64(0, PAGE, 0, 0)]), [fd, fd]],
      [VhostUserRequest.SET_FEATURES, u32(1), []],
      [999, u64(0), [fd]],
    ];
    for (const [request, payload, fds] of wrong) {
      assert.equal(frontEnd.tellAndWait(request, payload, fds), false, `message ${request}`);
    }
    close(fd);
    assert.equal(openDescriptors().length, before);
    assert.ok(backend.queues.get(0), "the queue runs on");
    assert.throws(() => frontEnd.tell(999), VhostUserError);
  });

  it("breaks one queue and tells by its error descriptor", (t) => {
    const one = rig(t);
    const { backend, frontEnd, events } = one;
    const errFd = frontEnd.callFd(1);
    frontEnd.tell(VhostUserRequest.SET_VRING_ERR, u64(0), [errFd]);
    backend.queues.break(0, new VirtqueueError("test"));
    assert.ok(drainEventfd(errFd));
    assert.equal(backend.queues.get(0), undefined);
    assert.ok(backend.queues.get(1));
    assert.deepEqual(events, ["broken 0"]);
  });

  it("leaves no descriptor open, whatever messages come in whatever order", (t) => {
    const fd = openSync("/dev/null", "r");
    t.after(() => close(fd));
    const message = fc.record({
      request: fc.oneof(fc.constantFrom(...Object.values(VhostUserRequest)), fc.nat(60)),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 64 }),
        fc.array(fc.nat(3), { minLength: 5, maxLength: 5 }).map((fields) => u64(...fields)),
        fc.tuple(fc.nat(2), fc.nat(9)).map((fields) => u32(...fields)),
      ),
      fds: fc.nat(3),
      needsReply: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 25 }), (messages) => {
        const before = openDescriptors().length;
        const [ours, theirs] = createSocketPair();
        const front = new MessageSocket(ours);
        const ignore = () => {};
        const backend = new VhostUserBackend(theirs, MODEL, {
          queueStarted: ignore,
          queueStopped: ignore,
          deviceReset: ignore,
          backendSocket: ignore,
          queueBroken: ignore,
        });
        front.send(encodeMessage(VhostUserRequest.SET_PROTOCOL_FEATURES, "request", u64Payload(1n << 3n)));
        for (const { request, payload, fds, needsReply } of messages) {
          const kind = needsReply ? "request-needing-reply" : "request";
          front.send(encodeMessage(request, kind, payload), new Array<number>(fds).fill(fd));
          try {
            backend.receive();
          } catch (error) {
            assert.ok(error instanceof VhostUserError, String(error));
          }
        }
        backend.close();
        backend.close();
        front.close();
        assert.equal(openDescriptors().length, before);
      }),
      { numRuns: 300 },
    );
  });
});

function running(backend: VhostUserBackend) {
  const queue = backend.queues.get(0);
  assert.ok(queue);
  return queue;
}
