import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { openDescriptors } from "../sys/testing/open-descriptors.js";
import { connectUnix } from "../sys/unix-socket.js";
import { u64Payload, VhostUserRequest } from "../vhost-user/message.js";
import { VIRTQ_DESC_F_NEXT } from "../vhost-user/testing/test-driver.js";
import { TestFrontEnd } from "../vhost-user/testing/test-front-end.js";
import { createVsockDevice, GUEST_CID, type VsockDevice } from "./device.js";
import {
  decodeHeader,
  emptyHeader,
  encodeHeader,
  HEADER_BYTES,
  type VsockHeader,
  VsockOp,
} from "./packet.js";

const RX = 0;
const TX = 1;
const LISTENED = 1024;
const QUEUE_SIZE = 16;
const MEMORY_BYTES = 1 << 20;
const BUFFER_BYTES = 4096;
const PAYLOAD_MAX_BYTES = 64 * 1024;
const LIMIT_MS = 10_000;
/** Whoever is not listened to for so long is taken not to be. */
const UNHEARD_MS = 500;
/** VIRTIO_F_VERSION_1, and that of vhost-user itself. */
const FEATURES = (1n << 32n) | (1n << 30n);
const CONFIGURE_MEM_SLOTS = 1n << 15n;

/** Lets the device work in Node's event loop until `isDone`. */
async function until(isDone: () => boolean): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!isDone()) {
    assert.ok(performance.now() < deadline, "nothing happens");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The guest's driver, and the front end that sets its queues up: neither waits for answers. */
class Guest {
  readonly frontEnd: TestFrontEnd;
  readonly #input: number;
  readonly #buffers: readonly number[];
  #given = 0;

  constructor(socketPath: string) {
    this.frontEnd = new TestFrontEnd(connectUnix(socketPath), () => {}, {
      queueCount: 2,
      queueSize: QUEUE_SIZE,
      memoryBytes: MEMORY_BYTES,
    });
    const { memory } = this.frontEnd;
    this.#input = memory.allocate(2 * PAYLOAD_MAX_BYTES);
    this.#buffers = Array.from({ length: QUEUE_SIZE }, () => memory.allocate(BUFFER_BYTES));
  }

  start(): void {
    const { frontEnd } = this;
    frontEnd.tell(VhostUserRequest.SET_PROTOCOL_FEATURES, u64Payload(CONFIGURE_MEM_SLOTS));
    frontEnd.tell(VhostUserRequest.SET_OWNER);
    frontEnd.tell(VhostUserRequest.SET_FEATURES, u64Payload(FEATURES));
    const region = Buffer.from(
      BigUint64Array.from([0n, 0n, BigInt(MEMORY_BYTES), 0x7f00_0000_0000n, 0n]).buffer,
    );
    frontEnd.tell(VhostUserRequest.ADD_MEM_REG, region, [frontEnd.memory.fd]);
    for (const index of [RX, TX]) frontEnd.startQueue(index);
  }

  /** QEMU's `stop`, and the beginning of its reset. @returns how far the device has come with each queue */
  async stop(): Promise<number[]> {
    const bases: number[] = [];
    for (const index of [RX, TX]) {
      this.frontEnd.tell(VhostUserRequest.GET_VRING_BASE, Buffer.from(Uint32Array.of(index, 0).buffer));
      let reply: Buffer | undefined;
      await until(() => {
        reply = this.frontEnd.reply(VhostUserRequest.GET_VRING_BASE);
        return reply !== undefined;
      });
      bases.push(reply?.readUInt32LE(4) ?? 0);
    }
    return bases;
  }

  /** QEMU's `cont`. */
  goOn(bases: readonly number[]): void {
    for (const [index, base] of bases.entries()) this.frontEnd.startQueue(index, base);
  }

  /** Gives the device a buffer to receive a packet in. */
  giveBuffer(byteLength = BUFFER_BYTES): void {
    const driver = this.frontEnd.driver(RX);
    const head = this.#given++ % QUEUE_SIZE;
    driver.setChain(head, [], [[this.#buffers[head] ?? 0, byteLength]]);
    driver.offer(head);
    this.frontEnd.kick(RX);
  }

  /** Sends `bytes`, cut in two behind `cut` bytes. */
  sendBytes(bytes: Uint8Array, cut = Math.min(bytes.length, HEADER_BYTES)): void {
    this.frontEnd.memory.bytes.set(bytes, this.#input);
    const parts: [number, number][] = [
      [this.#input, cut],
      [this.#input + cut, bytes.length - cut],
    ];
    const driver = this.frontEnd.driver(TX);
    driver.setChain(
      0,
      parts.filter(([, length], index) => index === 0 || length > 0),
      [],
    );
    this.offerChain();
  }

  /** Offers what stands at descriptor 0 of the queue for sending. */
  offerChain(): void {
    this.frontEnd.driver(TX).offer(0);
    this.frontEnd.kick(TX);
  }

  async send(header: Partial<VsockHeader>, payload: Uint8Array = Buffer.alloc(0)): Promise<void> {
    this.sendBytes(packet({ len: payload.length, ...header }, payload));
    await until(() => this.frontEnd.driver(TX).take() !== undefined);
  }

  /** The next packet that the device sends. */
  async receive(): Promise<VsockHeader & { readonly payload: Buffer }> {
    this.giveBuffer();
    let done: { head: number; written: number } | undefined;
    await until(() => {
      done = this.frontEnd.driver(RX).take();
      return done !== undefined;
    });
    const start = this.#buffers[done?.head ?? 0] ?? 0;
    const bytes = Buffer.from(this.frontEnd.memory.bytes.subarray(start, start + (done?.written ?? 0)));
    const header = emptyHeader();
    decodeHeader(new DataView(bytes.buffer, bytes.byteOffset), header);
    assert.equal(bytes.length, HEADER_BYTES + header.len);
    return { ...header, payload: bytes.subarray(HEADER_BYTES) };
  }
}

/** A packet from port 5 of the guest to the one that the host listens at. */
function packet(fields: Partial<VsockHeader>, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const addresses = { srcCid: GUEST_CID, dstCid: 2, srcPort: 5, dstPort: LISTENED, bufAlloc: 1 << 20 };
  const bytes = Buffer.alloc(HEADER_BYTES);
  encodeHeader({ ...emptyHeader(), ...addresses, ...fields }, new DataView(bytes.buffer, bytes.byteOffset));
  return Buffer.concat([bytes, payload]);
}

interface Rig {
  readonly device: VsockDevice;
  readonly guest: Guest;
  readonly accepted: Duplex[];
  /** Why the device is of no further use. */
  readonly lost: string[];
}

/** A device and a guest. */
function rig(t: TestContext): Rig {
  const directory = mkdtempSync(join(tmpdir(), "kata-vsock-"));
  const accepted: Duplex[] = [];
  const lost: string[] = [];
  const device = createVsockDevice(join(directory, "vsock.sock"), {
    accept: (port, stream) => {
      stream.on("error", () => {});
      accepted.push(stream);
      return port === LISTENED;
    },
    onLost: (reason) => lost.push(reason),
  });
  const guest = new Guest(join(directory, "vsock.sock"));
  t.after(() => {
    device.close();
    guest.frontEnd.close();
    rmSync(directory, { recursive: true });
  });
  guest.start();
  return { device, guest, accepted, lost };
}

/** A connection that the guest has made. */
async function connected(t: TestContext): Promise<Rig & { readonly stream: Duplex }> {
  const one = rig(t);
  await one.guest.send({ op: VsockOp.REQUEST });
  assert.equal((await one.guest.receive()).op, VsockOp.RESPONSE);
  const [stream] = one.accepted;
  assert.ok(stream);
  return { ...one, stream };
}

test("the guest connects to the host; both speak and hang up", async (t) => {
  const { guest, stream } = await connected(t);
  await guest.send({ op: VsockOp.RW }, Buffer.from("from the guest"));
  assert.equal(String((await once(stream, "data"))[0]), "from the guest");
  stream.write("from the host");
  const answer = await guest.receive();
  assert.deepEqual([answer.op, String(answer.payload)], [VsockOp.RW, "from the host"]);
  assert.deepEqual(
    [answer.srcCid, answer.dstCid, answer.srcPort, answer.dstPort],
    [2, GUEST_CID, LISTENED, 5],
  );
  stream.end();
  assert.equal((await guest.receive()).op, VsockOp.SHUTDOWN);
  await guest.send({ op: VsockOp.RST });
  await until(() => stream.closed);
});

test("the host connects to the guest, whose driver may come later", async (t) => {
  const { device, guest } = rig(t);
  const connecting = device.connect(77);
  const request = await guest.receive();
  assert.deepEqual([request.op, request.dstPort], [VsockOp.REQUEST, 77]);
  await guest.send({ op: VsockOp.RESPONSE, srcPort: 77, dstPort: request.srcPort });
  const stream = await connecting;
  stream.on("error", () => {});
  stream.write("hello");
  assert.equal(String((await guest.receive()).payload), "hello");
  const refused = assert.rejects(device.connect(78), { code: "ECONNREFUSED" });
  const second = await guest.receive();
  await guest.send({ op: VsockOp.RST, srcPort: 78, dstPort: second.srcPort });
  await refused;
});

test("a machine that was paused finds its connections again; a reset ends them", async (t) => {
  const { guest, stream } = await connected(t);
  const bases = await guest.stop();
  stream.write("while it is paused");
  guest.goOn(bases);
  assert.equal(String((await guest.receive()).payload), "while it is paused");
  await guest.send({ op: VsockOp.RW }, Buffer.from("afterwards"));
  assert.equal(String((await once(stream, "data"))[0]), "afterwards");
  await guest.stop();
  guest.frontEnd.tell(VhostUserRequest.RESET_DEVICE);
  await until(() => stream.closed);
});

const wrong: Record<string, (guest: Guest) => void> = {
  "a packet that is shorter than its header": (guest) => guest.sendBytes(Buffer.alloc(HEADER_BYTES - 1)),
  "an empty packet": (guest) => guest.sendBytes(Buffer.alloc(0)),
  "more payload than there is": (guest) =>
    guest.sendBytes(packet({ op: VsockOp.RW, len: 100 }, Buffer.alloc(99))),
  "more payload than a packet may have": (guest) =>
    guest.sendBytes(
      packet({ op: VsockOp.RW, len: PAYLOAD_MAX_BYTES + 1 }, Buffer.alloc(PAYLOAD_MAX_BYTES + 1)),
    ),
  "a payload of 4 GiB": (guest) => guest.sendBytes(packet({ op: VsockOp.RW, len: 0xffff_ffff })),
  "a buffer that is too small for a header": (guest) => {
    guest.giveBuffer(HEADER_BYTES - 1);
    guest.sendBytes(packet({ op: VsockOp.REQUEST }));
  },
  "a buffer outside of memory": (guest) => {
    guest.frontEnd.driver(TX).setChain(0, [[MEMORY_BYTES - 8, 64]], []);
    guest.offerChain();
  },
  "a chain that is a ring": (guest) => {
    const descriptor = { address: 4096, length: 8, flags: VIRTQ_DESC_F_NEXT, next: 0 };
    guest.frontEnd.driver(TX).setDescriptor(0, descriptor);
    guest.offerChain();
  },
  "an available index that jumped": (guest) => {
    guest.frontEnd.driver(TX).setAvailIndex(1000);
    guest.frontEnd.kick(TX);
  },
  "the end of the connection": (guest) => guest.frontEnd.close(),
  "a message that is none": (guest) => guest.frontEnd.tell(VhostUserRequest.SET_VRING_NUM, Buffer.alloc(3)),
};

test("what breaks the rules ends the device and its connections, not the process", async (t) => {
  for (const [what, send] of Object.entries(wrong)) {
    await t.test(what, async (inner) => {
      const before = openDescriptors().length;
      const { guest, lost, stream } = await connected(inner);
      send(guest);
      await until(() => lost.length > 0);
      await until(() => stream.closed);
      assert.equal(lost.length, 1, "told once");
      guest.frontEnd.close();
      await until(() => openDescriptors().length <= before);
    });
  }
});

test("a guest that takes no answers is not listened to beyond some", async (t) => {
  const { guest, lost } = rig(t);
  let sent = 0;
  for (let isTaken = true; isTaken; sent++) {
    guest.sendBytes(packet({ op: VsockOp.RW, srcPort: sent }));
    const deadline = performance.now() + UNHEARD_MS;
    isTaken = false;
    while (!isTaken && performance.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve));
      isTaken = guest.frontEnd.driver(TX).take() !== undefined;
    }
  }
  assert.ok(sent > 1000 && sent < 1100, `${sent} packets were taken`);
  assert.deepEqual(lost, []);
  assert.equal((await guest.receive()).op, VsockOp.RST);
  await until(() => guest.frontEnd.driver(TX).take() !== undefined);
});

test("packets of any content are answered by the rules, or end the device", async (t) => {
  const field = fc.oneof(fc.constantFrom(0, 1, 2, 3, 5, LISTENED), fc.nat(0xffff_ffff));
  const any = fc.record({
    fields: fc.record(
      {
        srcCid: field,
        dstCid: field,
        srcPort: field,
        dstPort: field,
        len: fc.nat(300),
        flags: field,
        fwdCnt: field,
      },
      { requiredKeys: [] },
    ),
    op: fc.nat(9),
    payload: fc.uint8Array({ maxLength: 200 }),
    cut: fc.nat(HEADER_BYTES + 200),
  });
  const isEnded = ({ lost }: Rig) => lost.length > 0;
  await fc.assert(
    fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 12 }), async (packets) => {
      const one = await connected(t);
      for (const { fields, op, payload, cut } of packets) {
        const bytes = packet({ op, len: payload.length, ...fields }, payload);
        one.guest.sendBytes(bytes, Math.min(cut, bytes.length));
        await until(() => isEnded(one) || one.guest.frontEnd.driver(TX).take() !== undefined);
        if (isEnded(one)) break;
      }
      if (isEnded(one)) assert.match(one.lost[0] ?? "", /^queue|a packet|packet/);
      else {
        await one.guest.send({ op: VsockOp.REQUEST, srcPort: 4242 });
        for (
          let answer = await one.guest.receive();
          answer.dstPort !== 4242;
          answer = await one.guest.receive()
        )
          assert.ok(answer.op >= VsockOp.REQUEST && answer.op <= VsockOp.CREDIT_REQUEST);
      }
      one.device.close();
      one.guest.frontEnd.close();
    }),
    { numRuns: 40 },
  );
});
