import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { turnNodeLoop } from "../lib/sys/node-loop.js";
import { openDescriptors, openedSince } from "../lib/sys/testing/open-descriptors.js";
import { VhostUserRequest } from "../lib/vhost-user/message.js";
import { IN_HEADER_BYTES, Opcode, OUT_HEADER_BYTES } from "./fuse/constants.js";
import { type Machine, REQUESTS, startDevice } from "./testing/device-machine.js";
import { cannotFreeze, mountFreezable } from "./testing/frozen-file-system.js";
import { checkReply } from "./testing/reply-rules.js";
import { ROOT, u32, u64 } from "./testing/test-guest.js";

const MIB = 1 << 20;
const WRITABLE = { dax: "never", readOnly: false, exports: [] } as const;
const O_RDWR = 2;
const O_SYNC = 0o4010000;

/** A request that the guest does not wait for. */
class Posted {
  static #count = 0;
  readonly head: number;
  readonly #request: Buffer;
  readonly #output: number;

  constructor(
    private readonly machine: Machine,
    opcode: number,
    nodeId: bigint,
    parts: readonly Uint8Array[],
    private readonly room = 64,
  ) {
    const { memory } = machine.frontEnd;
    const body = Buffer.concat(parts);
    const header = Buffer.alloc(IN_HEADER_BYTES);
    header.writeUInt32LE(IN_HEADER_BYTES + body.length, 0);
    header.writeUInt32LE(opcode, 4);
    header.writeBigUInt64LE(BigInt(1000 + ++Posted.#count), 8);
    header.writeBigUInt64LE(nodeId, 16);
    this.#request = Buffer.concat([header, body]);
    const input = memory.allocate(this.#request.length);
    memory.bytes.set(this.#request, input);
    this.#output = memory.allocate(OUT_HEADER_BYTES + room);
    // Below 8 are those of the requests that are waited for.
    this.head = 8 + 2 * (Posted.#count % 16);
    const driver = machine.frontEnd.driver(REQUESTS);
    driver.setChain(this.head, [[input, this.#request.length]], [[this.#output, OUT_HEADER_BYTES + room]]);
    driver.offer(this.head);
    machine.device.serve();
  }

  /** The answer's error and body, once it is there. */
  async answer(): Promise<{ error: number; body: Buffer }> {
    const { device, frontEnd } = this.machine;
    while (!device.hasWork) await turnNodeLoop();
    device.serve();
    const done = frontEnd.driver(REQUESTS).take();
    assert.equal(done?.head, this.head);
    const reply = frontEnd.memory.bytes.subarray(this.#output, this.#output + (done?.written ?? 0));
    checkReply(this.#request, OUT_HEADER_BYTES + this.room, Buffer.from(reply));
    return { error: reply.readInt32LE(4), body: Buffer.from(reply.subarray(OUT_HEADER_BYTES)) };
  }
}

const fallocate = (fh: bigint, length: number) => [u64(fh, 0n, BigInt(length)), u32(0, 0)];
const write = (fh: bigint, data: Uint8Array) => [u64(fh, 0n), u32(data.length, 0), u64(0n), u32(0, 0), data];

test("while calls take long others are served, and their handles, inodes and answers stay what they were", async (t) => {
  const machine = startDevice(t, WRITABLE);
  const { dir, guest, frontEnd, device } = machine;
  writeFileSync(join(dir, "file"), "content");
  writeFileSync(join(dir, "other"), "");
  guest.init();
  guest.getattr(ROOT);
  const before = openDescriptors();
  const file = guest.lookup(ROOT, "file").nodeId;
  const fh = guest.open(file, O_RDWR);
  const fsync = new Posted(machine, Opcode.FSYNC, file, [u64(fh), u32(0, 0)]);
  assert.equal(frontEnd.driver(REQUESTS).take(), undefined, "fsync is not answered by the loop");
  assert.equal(guest.getattr(file).size, 7, "and others are");
  guest.release(file, fh);
  guest.forget(file, 1n);
  assert.equal((await fsync.answer()).error, 0);
  assert.deepEqual(openedSince(before), []);
  assert.equal(device.hasWork, false);
});

test("a call that waits for the disk", { skip: cannotFreeze }, async (t) => {
  await t.test("holds up nobody: FALLOCATE, COPY_FILE_RANGE and synchronous WRITEs", async (inner) => {
    const frozen = mountFreezable(inner);
    writeFileSync(join(frozen.dir, "from"), Buffer.alloc(2 * MIB, "copied"));
    for (const name of ["sync", "space", "to"]) writeFileSync(join(frozen.dir, name), "");
    const machine = startDevice(inner, { ...WRITABLE, sharedDir: frozen.dir });
    const { guest, frontEnd } = machine;
    guest.init();
    const opened = (name: string, flags = O_RDWR) => {
      const { nodeId } = guest.lookup(ROOT, name);
      return { nodeId, fh: guest.open(nodeId, flags) };
    };
    const [from, to, space, sync] = [
      opened("from"),
      opened("to"),
      opened("space"),
      opened("sync", O_RDWR | O_SYNC),
    ];
    frozen.freeze();
    const posted = [
      new Posted(machine, Opcode.FALLOCATE, space.nodeId, fallocate(space.fh, 2 * MIB)),
      new Posted(machine, Opcode.WRITE, sync.nodeId, write(sync.fh, Buffer.from("written"))),
      new Posted(machine, Opcode.COPY_FILE_RANGE, from.nodeId, [
        u64(from.fh, 0n, to.nodeId, to.fh, 0n, BigInt(2 * MIB), 0n),
      ]),
    ];
    for (let turn = 0; turn < 100; turn++) await turnNodeLoop();
    assert.equal(guest.getattr(ROOT).mode & 0o7777, statSync(frozen.dir).mode & 0o7777);
    assert.equal(guest.read(from.nodeId, from.fh, 0, 6).toString(), "copied");
    assert.equal(frontEnd.driver(REQUESTS).take(), undefined);
    frozen.thaw();
    const answers = new Map<number, Buffer>();
    while (answers.size < posted.length) {
      while (!machine.device.hasWork) await turnNodeLoop();
      machine.device.serve();
      for (let done = frontEnd.driver(REQUESTS).take(); done; done = frontEnd.driver(REQUESTS).take())
        answers.set(done.head, Buffer.alloc(done.written));
    }
    assert.deepEqual([...answers.keys()].sort(), posted.map(({ head }) => head).sort());
    assert.equal(guest.getattr(space.nodeId).size, 2 * MIB);
    assert.equal(readFileSync(join(frozen.dir, "sync"), "utf8"), "written");
    assert.deepEqual(readFileSync(join(frozen.dir, "to")), readFileSync(join(frozen.dir, "from")));
  });

  const ways: Record<string, (machine: Machine) => void> = {
    RESET_DEVICE: ({ frontEnd }) => {
      assert.ok(frontEnd.tellAndWait(VhostUserRequest.RESET_DEVICE, Buffer.alloc(0)));
    },
    FUSE_DESTROY: ({ guest }) => {
      guest.call(Opcode.DESTROY, 0n, []);
    },
    "the end of the connection": ({ device }) => device.close(),
    "the end of the guest's memory": ({ frontEnd }) => {
      const region = u64(0n, 0n, BigInt(MIB), 0x7f00_0000_0000n, 0n);
      assert.ok(frontEnd.tellAndWait(VhostUserRequest.REM_MEM_REG, region));
    },
  };
  for (const [what, happen] of Object.entries(ways)) {
    await t.test(`outlives ${what}`, async (inner) => {
      const frozen = mountFreezable(inner);
      writeFileSync(join(frozen.dir, "sync"), "");
      const before = openDescriptors();
      const machine = startDevice(inner, { ...WRITABLE, sharedDir: frozen.dir });
      const { guest } = machine;
      guest.init();
      const { nodeId } = guest.lookup(ROOT, "sync");
      const fh = guest.open(nodeId, O_RDWR | O_SYNC);
      frozen.freeze();
      const posted = [1, 2, 3].map((count) => {
        const data = Buffer.alloc(100 * count, "written");
        return new Posted(machine, Opcode.WRITE, nodeId, write(fh, data));
      });
      for (let turn = 0; turn < 100; turn++) await turnNodeLoop();
      happen(machine);
      frozen.thaw();
      machine.device.close();
      machine.frontEnd.close();
      while (openedSince(before).length > 0) await turnNodeLoop();
      assert.equal(posted.length, 3);
      // The two that ran wrote what the guest gave them; the third one was never begun.
      assert.equal(readFileSync(join(frozen.dir, "sync"), "utf8"), Buffer.alloc(200, "written").toString());
    });
  }
});

test("set-id bits stay where they are to stay, however long it takes", { skip: cannotFreeze }, (t) => {
  const machine = startDevice(t, WRITABLE);
  const { dir, guest, frontEnd } = machine;
  const path = join(dir, "file");
  writeFileSync(path, "");
  chmodSync(path, 0o6755);
  guest.init();
  const { nodeId } = guest.lookup(ROOT, "file");
  const fh = guest.open(nodeId, O_RDWR);
  const posted = new Posted(machine, Opcode.FALLOCATE, nodeId, fallocate(fh, 2 * MIB));
  assert.equal(
    frontEnd.driver(REQUESTS).take()?.head,
    posted.head,
    "served by the thread that may keep them",
  );
  assert.equal(statSync(path).mode & 0o7777, 0o6755);
});
