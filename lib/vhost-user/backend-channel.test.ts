import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import { close } from "../sys/file.js";
import { openDescriptors } from "../sys/testing/open-descriptors.js";
import { MessageSocket } from "../sys/unix-socket.js";
import { VhostUserBackend } from "./backend.js";
import { BackendChannel, ShmemError } from "./backend-channel.js";
import { encodeMessage, u64Payload, VhostUserBackendRequest, VhostUserRequest } from "./message.js";
import { TestFrontEnd } from "./testing/test-front-end.js";
import { createSocketPair } from "./testing/test-memory.js";

const PAGE = 4096;
const WINDOW_BYTES = 64 * PAGE;
const LIMIT_MS = 50;

interface Rig {
  readonly backend: VhostUserBackend;
  readonly channel: BackendChannel;
  readonly frontEnd: TestFrontEnd;
  readonly fd: number;
  /** What the front end does while the back end waits; serves it, at first. */
  onWait: () => void;
}

function rig(t: TestContext): Rig {
  const [ours, theirs] = createSocketPair();
  const channel = new BackendChannel(
    WINDOW_BYTES,
    (_fd, isDone, timeoutMs) => {
      const deadlineMs = performance.now() + timeoutMs;
      while (!isDone()) {
        if (performance.now() > deadlineMs) return false;
        one.onWait();
        if (backend.socketFd >= 0) backend.receive();
      }
      return true;
    },
    LIMIT_MS,
  );
  const backend: VhostUserBackend = new VhostUserBackend(
    theirs,
    {
      queueCount: 1,
      features: 0n,
      config: Buffer.alloc(0),
      shmemSizesBytes: [WINDOW_BYTES],
      acknowledges: true,
    },
    {
      queueStarted: () => {},
      queueStopped: () => {},
      deviceReset: () => {},
      backendSocket: (fd) => channel.attach(backend, fd),
      queueBroken: () => {},
    },
  );
  const frontEnd = new TestFrontEnd(ours, () => backend.receive(), {
    queueCount: 1,
    queueSize: 4,
    memoryBytes: 4 * PAGE,
  });
  const fd = openSync("/proc/self/exe", "r");
  const one: Rig = { backend, channel, frontEnd, fd, onWait: () => frontEnd.serve() };
  t.after(() => {
    backend.close();
    frontEnd.close();
    close(fd);
  });
  return one;
}

/** Has the front end's side of the channel in the test's own hands. */
function takeOver(t: TestContext, { channel, backend }: Rig): MessageSocket {
  const [ours, theirs] = createSocketPair();
  channel.attach(backend, theirs);
  const socket = new MessageSocket(ours);
  t.after(() => {
    socket.close();
    close(theirs);
  });
  return socket;
}

describe("BackendChannel", () => {
  it("maps once the region is announced, and takes back; no descriptor stays", (t) => {
    const one = rig(t);
    const { channel, frontEnd, backend, fd } = one;
    assert.equal(channel.active, false);
    assert.throws(() => channel.map(fd, 0, 0, PAGE, false), ShmemError);
    frontEnd.start();
    assert.ok(channel.active);
    const before = openDescriptors().length;
    const added = backend.memoryRegionsAdded;
    channel.map(fd, PAGE, 2 * PAGE, PAGE, false);
    assert.deepEqual(frontEnd.maps.get(2 * PAGE), { fdOffset: PAGE, lengthBytes: PAGE, flags: 0 });
    assert.equal(backend.memoryRegionsAdded, added + 1);
    channel.unmap(2 * PAGE, PAGE);
    assert.equal(frontEnd.maps.size, 0);
    backend.receive();
    assert.equal(openDescriptors().length, before);
  });

  it("says so when the front end refuses, and goes on", (t) => {
    const { channel, frontEnd, fd } = rig(t);
    frontEnd.start();
    frontEnd.refusesMaps = true;
    assert.throws(() => channel.map(fd, 0, 0, PAGE, false), /refused/);
    assert.throws(() => channel.unmap(PAGE, PAGE), /refused/);
    frontEnd.refusesMaps = false;
    channel.map(fd, 0, 0, PAGE, false);
  });

  it("gives up after its limit, and does not take a late answer for that of the next request", (t) => {
    const one = rig(t);
    const { channel, frontEnd } = one;
    frontEnd.start();
    const socket = takeOver(t, one);
    one.onWait = () => {};
    const start = performance.now();
    assert.throws(() => channel.unmap(0, PAGE), /not answered within 50 ms/);
    assert.ok(performance.now() - start < 5000);
    const answer = (code: number) =>
      socket.send(encodeMessage(VhostUserBackendRequest.SHMEM_UNMAP, "reply", u64Payload(code)));
    // The late one says no, the second one yes.
    answer(1);
    one.onWait = () => {
      one.onWait = () => {};
      answer(0);
    };
    channel.unmap(0, PAGE);
  });

  it("gives up when a map is not announced", (t) => {
    const one = rig(t);
    one.frontEnd.start();
    const socket = takeOver(t, one);
    one.onWait = () => {
      one.onWait = () => {};
      socket.send(encodeMessage(VhostUserBackendRequest.SHMEM_MAP, "reply", u64Payload(0)));
    };
    assert.throws(() => one.channel.map(one.fd, 0, 0, PAGE, false), /not announced within 50 ms/);
  });

  it("closes descriptors that come with an answer", (t) => {
    const one = rig(t);
    one.frontEnd.start();
    const socket = takeOver(t, one);
    const before = openDescriptors().length;
    socket.send(encodeMessage(VhostUserBackendRequest.SHMEM_UNMAP, "reply", u64Payload(0)), [one.fd, one.fd]);
    one.onWait = () => {};
    one.channel.unmap(0, PAGE);
    assert.equal(openDescriptors().length, before);
  });

  it("ends its wait at once when the device is stopped or the channel's other side gone", (t) => {
    const endings: Record<string, (one: Rig, socket: MessageSocket) => void> = {
      disabled: ({ frontEnd }) =>
        frontEnd.tell(VhostUserRequest.SET_VRING_ENABLE, Buffer.from(Uint32Array.of(0, 0).buffer)),
      reset: ({ frontEnd }) => void frontEnd.stopQueue(0),
      gone: (_one, socket) => socket.close(),
    };
    for (const [name, end] of Object.entries(endings)) {
      const one = rig(t);
      one.frontEnd.start();
      const socket = takeOver(t, one);
      one.onWait = () => {
        one.onWait = () => {};
        end(one, socket);
      };
      assert.throws(
        () => one.channel.map(one.fd, 0, 0, PAGE, false),
        /stopped meanwhile|closed its socket/,
        name,
      );
    }
  });
});
