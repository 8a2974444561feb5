import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { tmpdir } from "node:os";
import { SysError } from "../../lib/sys/errno.js";
import { createEventfd } from "../../lib/sys/eventfd.js";
import { close } from "../../lib/sys/file.js";
import { bind, permanentAddressOf } from "../../lib/sys/libc.js";
import { MESSAGE_FDS_MAX, MessageSocket } from "../../lib/sys/unix-socket.js";
import { VhostUserBackend } from "../../lib/vhost-user/backend.js";
import type { VhostUserDeviceModel } from "../../lib/vhost-user/device-model.js";
import { encodeMessage, VhostUserError, VhostUserRequest } from "../../lib/vhost-user/message.js";
import { createSocketPair, TestMemory } from "../../lib/vhost-user/testing/test-memory.js";
import { VirtqueueError } from "../../lib/virtio/virtqueue-error.js";
import { Decisions } from "../decisions.js";
import type { FuzzTarget } from "../target.js";

const MODEL: VhostUserDeviceModel = {
  queueCount: 3,
  features: 1n,
  config: Buffer.from("a configuration space of some bytes"),
  shmemSizesBytes: [1 << 24],
  acknowledges: true,
};
const MEMORY_BYTES = 0x1_0000;
const SHORT_BYTES = 4096;
const USER_BASE = 0x7f00_0000_0000n;
const KNOWN_REQUESTS = Object.values(VhostUserRequest);
const MESSAGES_MAX = 32;
const REPLY_BYTES_MAX = 8192;

/**
 * A front end that sends messages in any order and shape, with descriptors of any kind, and lets the driver use the queues that come of
 * it. The back end answers or ends the connection by its own errors, and then has closed every descriptor.
 */
export function createVhostUserTarget(): FuzzTarget {
  const ram = new TestMemory(MEMORY_BYTES);
  const short = new TestMemory(SHORT_BYTES);
  const [socket, otherSocket] = createSocketPair();
  const descriptors = [
    ram.fd,
    createEventfd(),
    short.fd,
    openSync(process.execPath, "r"),
    openSync(tmpdir(), "r"),
    openSync("/dev/null", "r+"),
    openSync("/dev/zero", "r+"),
    socket,
    otherSocket,
  ];
  const replies = new Uint8Array(REPLY_BYTES_MAX);
  return {
    name: "vhost-user",
    covers: /\/lib\/(vhost-user|virtio)\/[a-z-]+\.ts$/,
    run(input) {
      ram.bytes.fill(0);
      const before = openDescriptors();
      const messages = connect(new Decisions(input), ram, descriptors, replies);
      assert.equal(openDescriptors(), before, "all descriptors are closed");
      return messages;
    },
    close() {
      for (const fd of descriptors) closeSync(fd);
      close(short.fd);
    },
  };
}

const poll = bind<(fds: number, count: number, timeoutMs: number) => number>(
  "int poll(uintptr_t fds, uint64_t count, int timeoutMs)",
);
const POLLNVAL = 0x20;
const DESCRIPTORS_MAX = 256;
/** struct pollfd: int fd, short events, short revents. */
const polled = new DataView(new ArrayBuffer(8 * DESCRIPTORS_MAX));
for (let fd = 0; fd < DESCRIPTORS_MAX; fd++) polled.setInt32(8 * fd, fd, true);
const polledAddress = permanentAddressOf(polled);

/** How many descriptors are open; poll(2) tells of those that are not. A listing of /proc/self/fd costs as much as an input. */
function openDescriptors(): number {
  poll(polledAddress, DESCRIPTORS_MAX, 0);
  let open = 0;
  for (let fd = 0; fd < DESCRIPTORS_MAX; fd++) {
    if ((polled.getUint16(8 * fd + 6, true) & POLLNVAL) === 0) open++;
  }
  return open;
}

function connect(
  decisions: Decisions,
  ram: TestMemory,
  descriptors: readonly number[],
  replies: Uint8Array,
): number {
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
  let messages = 0;
  try {
    const isSetUp = !decisions.happens(64);
    if (isSetUp) setUp(front, descriptors);
    do {
      messages++;
      const fds = Array.from({ length: fdCount(decisions) }, () => decisions.pick(descriptors));
      front.send(messageOf(decisions), fds);
      if (!backend.receive()) break;
      useQueues(decisions, backend, ram);
      drain(front, replies);
    } while (messages < MESSAGES_MAX && !decisions.isOver);
  } catch (error) {
    const isExpected = error instanceof VhostUserError || error instanceof SysError;
    assert.ok(isExpected, error instanceof Error ? error.stack : String(error));
  } finally {
    backend.close();
    front.close();
  }
  return messages;
}

/** What a front end in order sends before anything else: features, memory, one queue. */
function setUp(front: MessageSocket, [ram = -1, eventfd = -1]: readonly number[]): void {
  const tell = (request: number, payload: Uint8Array, fds: readonly number[] = []) =>
    front.send(encodeMessage(request, "request", payload), fds);
  tell(VhostUserRequest.SET_PROTOCOL_FEATURES, u64(0xffff_ffffn));
  tell(VhostUserRequest.SET_FEATURES, u64(0x1_7000_0001n));
  tell(VhostUserRequest.ADD_MEM_REG, u64(0n, 0n, BigInt(MEMORY_BYTES), USER_BASE, 0n), [ram]);
  tell(VhostUserRequest.SET_VRING_NUM, u32(0, 8));
  tell(
    VhostUserRequest.SET_VRING_ADDR,
    ringAddresses(0, USER_BASE, USER_BASE + 0x2000n, USER_BASE + 0x1000n),
  );
  tell(VhostUserRequest.SET_VRING_KICK, u64(0n), [eventfd]);
  tell(VhostUserRequest.SET_VRING_CALL, u64(0n), [eventfd]);
  tell(VhostUserRequest.SET_VRING_ENABLE, u32(0, 1));
}

function fdCount(decisions: Decisions): number {
  const kind = decisions.byte();
  if (kind < 192) return kind & 1;
  return decisions.below(MESSAGE_FDS_MAX + 1);
}

/** One message: mostly well formed, with numbers that mean something; else with a header or a length that does not fit. */
function messageOf(decisions: Decisions): Buffer {
  const request = decisions.happens(16) ? decisions.number32() : decisions.pick(KNOWN_REQUESTS);
  const kinds = ["request", "request-needing-reply", "reply"] as const;
  const payload = decisions.happens(48)
    ? decisions.take(decisions.below(128))
    : payloadOf(decisions, request);
  const message = encodeMessage(request, decisions.pick(kinds), payload);
  if (decisions.happens(6)) message.writeUInt32LE(decisions.number32(), 4);
  if (decisions.happens(6)) message.writeUInt32LE(decisions.number32(), 8);
  return decisions.happens(6) ? message.subarray(0, decisions.below(message.length + 1)) : message;
}

function payloadOf(decisions: Decisions, request: number): Uint8Array {
  const index = decisions.happens(8) ? decisions.number32() : decisions.below(MODEL.queueCount);
  switch (request) {
    case VhostUserRequest.SET_VRING_NUM:
      return u32(index, decisions.happens(48) ? decisions.number32() : 1 << decisions.below(17));
    case VhostUserRequest.SET_VRING_BASE:
    case VhostUserRequest.GET_VRING_BASE:
    case VhostUserRequest.SET_VRING_ENABLE:
      return u32(index, decisions.number32());
    case VhostUserRequest.SET_VRING_ADDR:
      return ringAddresses(index, userAddress(decisions), userAddress(decisions), userAddress(decisions));
    case VhostUserRequest.SET_VRING_KICK:
    case VhostUserRequest.SET_VRING_CALL:
    case VhostUserRequest.SET_VRING_ERR:
      return u64(BigInt(index) | (decisions.happens(32) ? 0x100n : 0n));
    case VhostUserRequest.ADD_MEM_REG:
    case VhostUserRequest.REM_MEM_REG:
      return u64(0n, ...region(decisions));
    case VhostUserRequest.SET_MEM_TABLE: {
      const count = decisions.below(10);
      const regions = Array.from({ length: count }, () => u64(...region(decisions)));
      return Buffer.concat([u32(decisions.happens(16) ? decisions.number32() : count, 0), ...regions]);
    }
    case VhostUserRequest.GET_CONFIG:
    case VhostUserRequest.SET_CONFIG:
      return Buffer.concat([
        u32(decisions.number32(), decisions.number32(), 0),
        Buffer.alloc(decisions.below(64)),
      ]);
    default:
      return u64(decisions.number64());
  }
}

function region(decisions: Decisions): bigint[] {
  const isRam = decisions.happens(128);
  if (isRam) return [0n, BigInt(MEMORY_BYTES), USER_BASE, 0n];
  const page = () => BigInt(decisions.below(64)) << 12n;
  const number = () => (decisions.happens(24) ? decisions.number64() : page());
  return [number() + 0x10_0000n, number(), USER_BASE + number() + 0x10_0000n, number()];
}

function userAddress(decisions: Decisions): bigint {
  return decisions.happens(16) ? decisions.number64() : USER_BASE + BigInt(16 * decisions.uint16());
}

function ringAddresses(index: number, descriptors: bigint, used: bigint, avail: bigint): Buffer {
  return Buffer.concat([u32(index, 0), u64(descriptors, used, avail, 0n)]);
}

/** Lets the driver write something into the rings, and the device take what is there. */
function useQueues(decisions: Decisions, backend: VhostUserBackend, ram: TestMemory): void {
  if (decisions.happens(64)) {
    const at = 16 * decisions.below(8);
    ram.bytes.writeBigUInt64LE(decisions.number64(), at);
    ram.bytes.writeUInt32LE(decisions.number32(), at + 8);
    ram.bytes.writeUInt32LE(decisions.number32(), at + 12);
    ram.bytes.writeUInt16LE(decisions.below(4), 0x1002);
  }
  for (let index = 0; index < MODEL.queueCount; index++) {
    const queue = backend.queues.get(index);
    if (queue === undefined) continue;
    try {
      const head = queue.next();
      if (head >= 0 && !decisions.happens(32)) backend.queues.complete(index, queue, head, 0);
      else queue.requestNotifications();
    } catch (error) {
      if (!(error instanceof VirtqueueError)) throw error;
      backend.queues.break(index, error);
    }
  }
}

function drain(front: MessageSocket, replies: Uint8Array): void {
  const fds: number[] = [];
  while (front.receive(replies, 0, replies.length, fds) > 0);
  assert.deepEqual(fds, [], "no reply carries a descriptor");
}

function u32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

function u64(...values: bigint[]): Buffer {
  return Buffer.from(BigUint64Array.from(values, (value) => BigInt.asUintN(64, value)).buffer);
}
