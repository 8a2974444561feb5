import assert from "node:assert/strict";
import { closeSync, openSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { drainEventfd } from "../lib/sys/eventfd.js";
import { F_WRLCK, RecordLock } from "../lib/sys/record-lock.js";
import { openDescriptors } from "../lib/sys/testing/open-descriptors.js";
import { VhostUserRequest } from "../lib/vhost-user/message.js";
import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../lib/vhost-user/testing/test-driver.js";
import type { TestFrontEnd } from "../lib/vhost-user/testing/test-front-end.js";
import { Opcode } from "./fuse/constants.js";
import { HIPRIO, type Machine, REQUESTS, startDevice } from "./testing/device-machine.js";
import { frontEndServer } from "./testing/front-end-server.js";
import { cstring, ROOT, TestGuest, u32, u64 } from "./testing/test-guest.js";

const RANGE = 2 << 20;

test("a session over the rings: INIT, LOOKUP, OPEN, READ, FORGET", (t) => {
  const { dir, guest, frontEnd } = startDevice(t);
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
  const { dir, guest, frontEnd } = startDevice(t);
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
      const machine = startDevice(inner);
      machine.guest.init();
      write(machine);
      if (!what.includes("index")) machine.frontEnd.driver(REQUESTS).offer(0);
      machine.frontEnd.kick(REQUESTS);
      machine.device.serve();
      assert.match(machine.log.join(), /queue 1 is stopped/);
      assert.equal(machine.device.backend.queues.get(REQUESTS), undefined);
      assert.notEqual(machine.device.backend.queues.get(HIPRIO), undefined, "the other queue runs on");
    });
  }
});

test("a request without room for a reply, or without a header, is given back unanswered", (t) => {
  const { device, frontEnd, guest } = startDevice(t);
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

/** What QEMU does of a machine's reset: 11.1 tells, 7.2 only sets the queues up anew. */
const resets: Record<string, (frontEnd: TestFrontEnd) => void> = {
  "by RESET_DEVICE": (frontEnd) => {
    assert.ok(frontEnd.tellAndWait(VhostUserRequest.RESET_DEVICE, Buffer.alloc(0)));
  },
  "by queues that begin anew": (frontEnd) => {
    for (const index of [HIPRIO, REQUESTS]) frontEnd.stopQueue(index);
  },
};

test("a device that was reset forgets its session", async (t) => {
  for (const [how, reset] of Object.entries(resets)) {
    await t.test(how, (inner) => {
      const { dir, guest, frontEnd } = startDevice(inner);
      writeFileSync(join(dir, "file"), "x");
      guest.init();
      const before = openDescriptors().length;
      const { nodeId } = guest.lookup(ROOT, "file");
      guest.open(nodeId);
      reset(frontEnd);
      for (const index of [HIPRIO, REQUESTS]) {
        frontEnd.driver(index).reset();
        frontEnd.startQueue(index);
      }
      assert.equal(guest.send(Opcode.LOOKUP, ROOT, [cstring("file")]).error, "ENOTCONN");
      guest.init();
      assert.equal(openDescriptors().length, before);
      assert.notEqual(guest.lookup(ROOT, "file").nodeId, nodeId);
    });
  }
});

test("a machine that was paused goes on with its session, and gets its answers", (t) => {
  const options = { dax: "never", readOnly: false, exports: [] } as const;
  const { dir, device, guest, frontEnd } = startDevice(t, options);
  writeFileSync(join(dir, "file"), "content");
  guest.init();
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId, 2);
  const host = openSync(join(dir, "file"), "r+");
  const lock = new RecordLock();
  lock.fill(F_WRLCK, 0n, 0n);
  assert.equal(lock.set(host), 0);
  let turn = 0;
  const patient = new TestGuest(
    frontEndServer(frontEnd, () => {
      if (turn++ > 0) return device.retryWaiting();
      device.serve();
      const bases = [HIPRIO, REQUESTS].map((index) => frontEnd.stopQueue(index));
      closeSync(host);
      device.retryWaiting();
      assert.equal(frontEnd.driver(REQUESTS).take(), undefined, "nothing is answered meanwhile");
      for (const [index, base] of bases.entries()) frontEnd.startQueue(index, base);
    }),
  );
  patient.call(Opcode.SETLKW, nodeId, [u64(fh, 1n, 0n, 9n), u32(F_WRLCK, 1, 0, 0)], 0);
  assert.equal(guest.read(nodeId, fh, 0, 7).toString(), "content");
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
      const machine = startDevice(inner);
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
      assert.equal(device.backend.queues.areRunning, false);
    });
  }
});

test("a request that waits for a lock of the host is answered when the host gives it back", (t) => {
  const { dir, device, frontEnd, guest } = startDevice(t, { dax: "never", readOnly: false, exports: [] });
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
