import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { drainEventfd } from "../lib/sys/eventfd.js";
import { F_WRLCK, RecordLock } from "../lib/sys/record-lock.js";
import { openDescriptors } from "../lib/sys/testing/open-descriptors.js";
import { VhostUserRequest } from "../lib/vhost-user/message.js";
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../lib/vhost-user/testing/test-driver.js";
import { TestFrontEnd } from "../lib/vhost-user/testing/test-front-end.js";
import { createSocketPair } from "../lib/vhost-user/testing/test-memory.js";
import { FsDevice } from "./device.js";
import { Opcode } from "./fuse/constants.js";
import type { FsdLog } from "./fuse/server.js";
import type { DeviceOptions } from "./options/device-options.js";
import { PRESET_SHARE_POLICY } from "./passthrough/share-policy.js";
import { frontEndServer } from "./testing/front-end-server.js";
import { cstring, ROOT, TestGuest, u32, u64 } from "./testing/test-guest.js";

const HIPRIO = 0;
const REQUESTS = 1;
const RANGE = 2 << 20;

interface Machine {
  readonly dir: string;
  readonly device: FsDevice;
  readonly frontEnd: TestFrontEnd;
  readonly guest: TestGuest;
  readonly log: string[];
  /** What happens, once, while the device waits for a map. */
  onWait: (() => void) | undefined;
}

/** A device and a front end in one process: each works while the other waits. */
function start(t: TestContext, options: Partial<DeviceOptions> = {}): Machine {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const log: string[] = [];
  const logger: FsdLog = {
    debug: () => {},
    info: () => {},
    warn: (line) => log.push(line),
    error: (line) => log.push(line),
  };
  const [ours, theirs] = createSocketPair();
  const device: FsDevice = new FsDevice(
    theirs,
    {
      ...PRESET_SHARE_POLICY,
      socket: { path: "", group: undefined },
      sharedDir: dir,
      tag: "kataShared",
      requestQueues: 1,
      overlayBrokerFd: undefined,
      readOnly: true,
      dax: "inode",
      daxWindowBytes: 8 * RANGE,
      daxThresholdBytes: 4096,
      exports: [{ pattern: [], policy: "shared", dax: true }],
      ...options,
    },
    logger,
    (_fd, isDone) => {
      for (let turn = 0; turn < 1000; turn++) {
        if (isDone()) return true;
        const { onWait } = machine;
        machine.onWait = undefined;
        if (onWait !== undefined) {
          onWait();
          continue;
        }
        frontEnd.serve();
        device.backend.receive();
      }
      return false;
    },
  );
  const frontEnd = new TestFrontEnd(ours, () => device.backend.receive(), {
    queueCount: 2,
    queueSize: 64,
    memoryBytes: 1 << 20,
  });
  frontEnd.start();
  t.after(() => {
    device.close();
    frontEnd.close();
    rmSync(dir, { recursive: true });
  });
  const guest = new TestGuest(frontEndServer(frontEnd, () => device.serve()));
  const machine: Machine = { dir, device, frontEnd, guest, log, onWait: undefined };
  return machine;
}

test("a session over the rings: INIT, LOOKUP, OPEN, READ, FORGET", (t) => {
  const { dir, guest, frontEnd } = start(t);
  writeFileSync(join(dir, "file"), Buffer.alloc(10_000, "content"));
  frontEnd.driver(REQUESTS).setUsedEvent(0);
  guest.init();
  assert.ok(drainEventfd(frontEnd.callFd(REQUESTS)), "the driver is signalled where it wants to be");
  const { nodeId } = guest.lookup(ROOT, "file");
  assert.equal(drainEventfd(frontEnd.callFd(REQUESTS)), false, "and not otherwise");
  const fh = guest.open(nodeId);
  assert.equal(guest.read(nodeId, fh, 7, 5000).toString().slice(0, 10), "contentcon");
  guest.forget(nodeId, 1n);
  assert.equal(guest.send(Opcode.GETATTR, nodeId, [Buffer.alloc(16)]).error, "ESTALE");
});

test("a map is live in the front end before SETUPMAPPING is answered, and its unmap is exact", (t) => {
  const { dir, guest, frontEnd } = start(t);
  writeFileSync(join(dir, "file"), "");
  truncateSync(join(dir, "file"), 3 * RANGE);
  guest.init();
  const { nodeId, attr } = guest.lookup(ROOT, "file");
  assert.equal(attr.flags, 2);
  const setup = (fileOffset: number, windowOffset: number) =>
    guest.send(Opcode.SETUPMAPPING, nodeId, [
      u64(0xffff_ffff_ffff_ffffn, BigInt(fileOffset), BigInt(RANGE), 2n, BigInt(windowOffset)),
    ]).error;
  assert.equal(setup(RANGE, 3 * RANGE), "");
  assert.deepEqual(frontEnd.maps.get(3 * RANGE), { fdOffset: RANGE, lengthBytes: RANGE, flags: 0 });
  const remove = [u32(1), u64(BigInt(3 * RANGE), BigInt(RANGE))];
  assert.equal(guest.send(Opcode.REMOVEMAPPING, nodeId, remove).error, "");
  assert.equal(frontEnd.maps.size, 0);
  frontEnd.refusesMaps = true;
  assert.equal(setup(0, 0), "EIO");
  frontEnd.refusesMaps = false;
  assert.equal(setup(0, 0), "");
});

test("what the guest writes into its rings stops the queue at worst", async (t) => {
  const ends = 1 << 20;
  const wrong: Record<string, (machine: Machine) => void> = {
    "an address outside of memory": ({ frontEnd }) => frontEnd.driver(REQUESTS).setChain(0, [[ends, 40]], []),
    "a length that reaches past memory": ({ frontEnd }) =>
      frontEnd.driver(REQUESTS).setChain(0, [[ends - 8, 4096]], []),
    "an address of 64 bits": ({ frontEnd }) =>
      frontEnd.driver(REQUESTS).setDescriptor(0, { address: 2 ** 63, length: 40, flags: 0, next: 0 }),
    "a chain that is a ring": ({ frontEnd }) =>
      frontEnd
        .driver(REQUESTS)
        .setDescriptor(0, { address: 4096, length: 8, flags: VIRTQ_DESC_F_NEXT, next: 0 }),
    "a next that is not in the table": ({ frontEnd }) =>
      frontEnd
        .driver(REQUESTS)
        .setDescriptor(0, { address: 4096, length: 8, flags: VIRTQ_DESC_F_NEXT, next: 64 }),
    "a readable descriptor behind a writable one": ({ frontEnd }) => {
      const driver = frontEnd.driver(REQUESTS);
      const flags = VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT;
      driver.setDescriptor(0, { address: 4096, length: 40, flags, next: 1 });
      driver.setDescriptor(1, { address: 8192, length: 40, flags: 0, next: 0 });
    },
    "an indirect table outside of memory": ({ frontEnd }) =>
      frontEnd
        .driver(REQUESTS)
        .setDescriptor(0, { address: ends, length: 32, flags: VIRTQ_DESC_F_INDIRECT, next: 0 }),
    "an indirect table in an indirect table": ({ frontEnd }) => {
      const driver = frontEnd.driver(REQUESTS);
      driver.setDescriptor(0, { address: 16384, length: 16, flags: VIRTQ_DESC_F_INDIRECT, next: 0 });
      driver.setDescriptor(0, { address: 16384, length: 16, flags: VIRTQ_DESC_F_INDIRECT, next: 0 }, 16384);
    },
    "an available index that jumped": ({ frontEnd }) => frontEnd.driver(REQUESTS).setAvailIndex(1000),
  };
  for (const [what, write] of Object.entries(wrong)) {
    await t.test(what, (inner) => {
      const machine = start(inner);
      machine.guest.init();
      write(machine);
      if (!what.includes("index")) machine.frontEnd.driver(REQUESTS).offer(0);
      machine.frontEnd.kick(REQUESTS);
      machine.device.serve();
      assert.match(machine.log.join(), /queue 1 is stopped/);
      assert.equal(machine.device.backend.queue(REQUESTS), undefined);
      assert.notEqual(machine.device.backend.queue(HIPRIO), undefined, "the other queue runs on");
    });
  }
});

test("a request without room for a reply, or without a header, is given back unanswered", (t) => {
  const { device, frontEnd, guest } = start(t);
  guest.init();
  const driver = frontEnd.driver(REQUESTS);
  driver.setChain(0, [[4096, 40]], []);
  driver.setChain(8, [[4096, 10]], [[8192, 4096]]);
  driver.setChain(16, [], [[8192, 4096]]);
  driver.setDescriptor(24, { address: 4096, length: 0, flags: 0, next: 0 });
  for (const head of [0, 8, 16, 24]) {
    driver.offer(head);
    device.serve();
    assert.deepEqual(driver.take(), { head, written: 0 });
  }
});

test("a stopped device forgets its session; started again it serves the next one", (t) => {
  const { dir, guest, frontEnd } = start(t);
  writeFileSync(join(dir, "file"), "x");
  guest.init();
  const before = openDescriptors().length;
  const { nodeId } = guest.lookup(ROOT, "file");
  guest.open(nodeId);
  frontEnd.stopQueue(HIPRIO);
  const base = frontEnd.stopQueue(REQUESTS);
  assert.equal(base, 3, "requests taken");
  frontEnd.startQueue(HIPRIO);
  frontEnd.startQueue(REQUESTS, base);
  assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring("file")]).error, "ENOTCONN");
  guest.init();
  assert.equal(openDescriptors().length, before);
  assert.notEqual(guest.lookup(ROOT, "file").nodeId, nodeId);
});

test("what the front end takes away in the midst of a map is gone only after the request", async (t) => {
  const takeAway: Record<string, (machine: Machine) => void> = {
    "the queues": ({ frontEnd }) => {
      frontEnd.stopQueue(HIPRIO);
      frontEnd.stopQueue(REQUESTS);
    },
    "the memory that the reply goes to": ({ frontEnd }) => {
      const region = u64(0n, 0n, 1n << 20n, 0x7f00_0000_0000n, 0n);
      assert.ok(frontEnd.tellAndWait(VhostUserRequest.REM_MEM_REG, region));
    },
    "the connection": ({ device }) => device.close(),
  };
  for (const [what, take] of Object.entries(takeAway)) {
    await t.test(what, (inner) => {
      const machine = start(inner);
      const { dir, guest, frontEnd, device } = machine;
      writeFileSync(join(dir, "file"), Buffer.alloc(RANGE));
      guest.init();
      const { nodeId } = guest.lookup(ROOT, "file");
      const header = Buffer.alloc(40);
      header.writeUInt32LE(80, 0);
      header.writeUInt32LE(Opcode.SETUPMAPPING, 4);
      header.writeBigUInt64LE(nodeId, 16);
      const { bytes } = frontEnd.memory;
      const input = 1 << 19;
      bytes.set(Buffer.concat([header, u64(0n, 0n, BigInt(RANGE), 2n, 0n)]), input);
      const driver = frontEnd.driver(REQUESTS);
      driver.setChain(0, [[input, 80]], [[input + 4096, 16]]);
      driver.offer(0);
      let happened = false;
      machine.onWait = () => {
        take(machine);
        happened = true;
      };
      device.serve();
      assert.ok(happened);
      assert.equal(bytes.readUInt32LE(input + 4096), 16, "the reply was written where it belongs");
      assert.equal(driver.take(), undefined, "but it is not given back: the queue was stopped");
      assert.equal(device.backend.isRunning, false);
    });
  }
});

test("a request that waits for a lock of the host is answered when the host gives it back", (t) => {
  const { dir, device, frontEnd, guest } = start(t, { dax: "never", readOnly: false, exports: [] });
  writeFileSync(join(dir, "file"), "x");
  guest.init();
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId, 2);
  const host = openSync(join(dir, "file"), "r+");
  const lock = new RecordLock();
  lock.fill(F_WRLCK, 0n, 0n);
  assert.equal(lock.set(host), 0);
  assert.equal(device.retryAfterMs, -1, "nothing waits");
  let turn = 0;
  const waits: number[] = [];
  const patient = new TestGuest(
    frontEndServer(frontEnd, () => {
      if (turn++ === 0) return device.serve();
      waits.push(device.retryAfterMs);
      if (turn === 9) closeSync(host);
      device.retryWaiting();
    }),
  );
  patient.call(Opcode.SETLKW, nodeId, [u64(fh, 1n, 0n, 9n), u32(F_WRLCK, 1, 0, 0)], 0);
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 32, 32]);
  assert.equal(device.retryAfterMs, -1);
  assert.equal(guest.getattr(nodeId).size, 1, "the queue goes on");
});
