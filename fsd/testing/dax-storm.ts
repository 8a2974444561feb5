import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Random } from "../../fuzz/random.js";
import { DAX_RANGE_BYTES, IN_HEADER_BYTES, Opcode } from "../fuse/constants.js";
import { HIPRIO, type Machine, REQUESTS, startDevice } from "./device-machine.js";
import { ROOT, u32, u64 } from "./test-guest.js";

/** More ranges than maps may be alive. */
const RANGES = 256;
const LIVE_MAX = 200;
const SIZES = [1, 4096, DAX_RANGE_BYTES - 1, DAX_RANGE_BYTES, 3 * DAX_RANGE_BYTES + 100, 512 << 20, 2 ** 30];
const NO_HANDLE = 0xffff_ffff_ffff_ffffn;
const READ = 2n;

/** What a storm came to: how often each kind of request ended how. */
export interface StormReport {
  readonly outcomes: ReadonlyMap<string, number>;
  readonly mostLive: number;
}

/**
 * Maps and unmaps in random order, as a hostile guest may ask for them: any file, any place, wrong arguments, a window that is full, a front end
 * that refuses, and a device that is reset while a map is under way. After each request what the front end has is what the daemon counts, and
 * nothing was asked of the front end that ends QEMU.
 */
export function daxStorm(t: TestContext, requests: number, seed: number): StormReport {
  const random = new Random(seed);
  const below = (limit: number) => random.below(limit);
  const machine = startDevice(t, {
    daxWindowBytes: RANGES * DAX_RANGE_BYTES,
    exports: [{ pattern: [], policy: "immutable" }],
  });
  const { guest, frontEnd, device, dir } = machine;
  for (const [index, size] of SIZES.entries()) {
    writeFileSync(join(dir, `file${index}`), "");
    truncateSync(join(dir, `file${index}`), size);
  }
  const outcomes = new Map<string, number>();
  const count = (what: string) => outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
  let mostLive = 0;

  const begin = () => {
    guest.init();
    return SIZES.map((size, index) => ({ size, nodeId: guest.lookup(ROOT, `file${index}`).nodeId }));
  };
  let files = begin();

  const setup = () => {
    const file = files[below(files.length)] ?? { size: 0, nodeId: ROOT };
    const fileOffset = below(Math.ceil(file.size / DAX_RANGE_BYTES) + 1) * DAX_RANGE_BYTES;
    const windowOffset = below(RANGES) * DAX_RANGE_BYTES;
    const { error } = guest.send(Opcode.SETUPMAPPING, file.nodeId, [
      u64(NO_HANDLE, BigInt(fileOffset), BigInt(DAX_RANGE_BYTES), READ, BigInt(windowOffset)),
    ]);
    count(`map ${error || "made"}`);
    const map = frontEnd.maps.get(windowOffset);
    if (error === "") assert.equal(map?.fdOffset, fileOffset);
    if (fileOffset >= file.size) assert.equal(error, "EINVAL");
  };
  const remove = () => {
    const offsets = Array.from({ length: 1 + below(8) }, () => below(RANGES) * DAX_RANGE_BYTES);
    const list = offsets.flatMap((offset) => [BigInt(offset), BigInt(DAX_RANGE_BYTES)]);
    const { error } = guest.send(Opcode.REMOVEMAPPING, ROOT, [u32(offsets.length), u64(...list)]);
    count(`unmap ${error || "made"}`);
    for (const offset of offsets) assert.ok(!frontEnd.maps.has(offset));
  };
  const askWrong = () => {
    const any = () => BigInt(random.uint32()) << BigInt(below(32));
    const args = [NO_HANDLE, any(), any(), BigInt(below(8)), any()];
    const file = files[below(files.length)]?.nodeId ?? ROOT;
    if (below(2) === 0) count(`wrong map ${guest.send(Opcode.SETUPMAPPING, file, [u64(...args)]).error}`);
    else count(`wrong unmap ${guest.send(Opcode.REMOVEMAPPING, ROOT, [u32(1), u64(any(), any())]).error}`);
  };
  const refused = () => {
    frontEnd.refusesMaps = true;
    setup();
    frontEnd.refusesMaps = false;
  };
  const reset = () => {
    if (below(2) === 0) resetWhileMapping(machine, files.at(-1)?.nodeId ?? ROOT);
    else frontEnd.reset();
    for (const index of [HIPRIO, REQUESTS]) frontEnd.startQueue(index);
    count("reset");
    files = begin();
  };

  for (let request = 0; request < requests; request++) {
    const dice = below(10_000) / 10_000;
    // Guests that fill the window, and such that give most of it back, in turn.
    const isFilling = Math.floor(request / 1000) % 2 === 0;
    if (dice < 0.001) reset();
    else if (dice < 0.005) refused();
    else if (dice < 0.03) askWrong();
    else if (dice < (isFilling ? 0.99 : 0.4)) setup();
    else remove();
    const live = device.report().dax.liveRanges;
    assert.equal(
      live,
      frontEnd.maps.size,
      `after request ${request}: ${[...outcomes].join(" ")} ${JSON.stringify([...frontEnd.maps])}`,
    );
    assert.ok(live <= LIVE_MAX);
    mostLive = Math.max(mostLive, live);
    assert.deepEqual(frontEnd.violations, []);
  }
  assert.equal(guest.call(Opcode.DESTROY, 0n, []).length, 0);
  assert.equal(frontEnd.maps.size, 0);
  return { outcomes, mostLive };
}

/** The front end stops the queues and resets the device while the daemon waits for its answer. */
function resetWhileMapping(machine: Machine, nodeId: bigint): void {
  const { frontEnd, device } = machine;
  const { bytes } = frontEnd.memory;
  const driver = frontEnd.driver(REQUESTS);
  const [input, output] = [1 << 19, (1 << 19) + 4096];
  const header = Buffer.alloc(IN_HEADER_BYTES);
  header.writeUInt32LE(IN_HEADER_BYTES + 40, 0);
  header.writeUInt32LE(Opcode.SETUPMAPPING, 4);
  header.writeBigUInt64LE(nodeId, 16);
  bytes.set(Buffer.concat([header, u64(NO_HANDLE, 0n, BigInt(DAX_RANGE_BYTES), READ, 0n)]), input);
  driver.setChain(0, [[input, IN_HEADER_BYTES + 40]], [[output, 16]]);
  driver.offer(0);
  machine.onWait = () => frontEnd.reset();
  device.serve();
  machine.onWait = undefined;
  // The daemon found that the range is mapped already, and did not wait.
  if (device.backend.queues.areRunning) frontEnd.reset();
}
