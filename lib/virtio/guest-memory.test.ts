import assert from "node:assert/strict";
import { openSync, readFileSync, truncateSync } from "node:fs";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { Errno } from "../sys/errno.js";
import { close, pwritev } from "../sys/file.js";
import { Iovecs } from "../sys/iovec.js";
import { lastErrno } from "../sys/libc.js";
import { openDescriptors } from "../sys/testing/open-descriptors.js";
import { TestMemory } from "../vhost-user/testing/test-memory.js";
import { GuestMemory, type MemoryRegion, MemoryRegionError } from "./guest-memory.js";
import { GuestSegments } from "./guest-segments.js";

const PAGE = 4096;
const USER = 0x7f00_0000_0000;

function ram(t: TestContext, pages: number): TestMemory {
  const memory = new TestMemory(pages * PAGE);
  t.after(() => close(memory.fd));
  return memory;
}

/** A region that is `pages` pages of `file`, at the same offset in the guest. The descriptor is one of its own. */
function region(file: TestMemory, page: number, pages: number, mode: "r" | "r+" = "r+"): MemoryRegion {
  const offset = page * PAGE;
  return {
    guestAddress: offset,
    sizeBytes: pages * PAGE,
    userAddress: USER + offset,
    mmapOffset: offset,
    fd: openSync(`/proc/self/fd/${file.fd}`, mode),
  };
}

/** How often this process has the file of a test mapped. */
const mappings = (address: number) =>
  readFileSync("/proc/self/maps", "latin1").includes(`${address.toString(16)}-`);

describe("GuestMemory", () => {
  it("finds what lies in a region by both addresses, and nothing beside it", (t) => {
    const file = ram(t, 8);
    file.bytes[3 * PAGE + 5] = 0x5a;
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    memory.add(region(file, 2, 3));
    for (const chunk of [memory.find(3 * PAGE), memory.findByUserAddress(USER + 3 * PAGE)]) {
      assert.equal(chunk?.guestAddress, 2 * PAGE);
      assert.equal(chunk.byteLength, 3 * PAGE);
      assert.equal(chunk.bytes[PAGE + 5], 0x5a);
      assert.ok(chunk.isWritable);
    }
    for (const address of [0, 2 * PAGE - 1, 5 * PAGE, 2 ** 53, Number.NaN]) {
      assert.equal(memory.find(address), undefined);
      assert.equal(memory.findByUserAddress(USER + address), undefined);
    }
  });

  it("maps a file that begins within a page, and one that it may only read", (t) => {
    const file = ram(t, 2);
    file.bytes.write("here", 100);
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    memory.add({ ...region(file, 0, 1, "r"), mmapOffset: 100, sizeBytes: 50 });
    const chunk = memory.find(0);
    assert.ok(chunk);
    assert.equal(chunk.isWritable, false);
    assert.equal(memory.find(50), undefined);
    const segments = new GuestSegments(1);
    segments.push(chunk, 0, 4);
    const copy = Buffer.alloc(4);
    assert.equal(segments.copyIn(0, copy, 0, 4), 4);
    assert.equal(copy.toString(), "here");
  });

  it("does not touch a file that it may only read where that has ended, and finds no bytes there", (t) => {
    const file = ram(t, 2);
    file.bytes.fill(7);
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    memory.add(region(file, 0, 4, "r"));
    const chunk = memory.find(0);
    assert.ok(chunk);
    const segments = new GuestSegments(2);
    segments.push(chunk, PAGE - 2, 4);
    segments.push(chunk, 2 * PAGE - 2, 4);
    const copy = new Uint8Array(8);
    assert.equal(segments.copyIn(0, copy, 0, 8), 4, "the segment that the file does not reach is not there");
    assert.deepEqual([...copy.subarray(0, 4)], [7, 7, 7, 7]);
    // Nor do system calls die of it.
    const iovecs = new Iovecs(1);
    segments.toIovecs(6, 2, iovecs);
    assert.equal(pwritev(file.fd, iovecs.address, 1, 0), -1);
    assert.equal(lastErrno(), Errno.EFAULT);
    truncateSync(`/proc/self/fd/${file.fd}`, 0);
    assert.equal(segments.copyIn(0, copy, 0, 8), 0, "nor one that was there before");
  });

  it("refuses RAM whose file is too short, before it is touched", (t) => {
    const file = ram(t, 2);
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    memory.add(region(file, 1, 2));
    assert.throws(() => memory.find(PAGE), {
      name: "MemoryRegionError",
      message: /past the 8192 bytes of its file/,
    });
  });

  it("refuses regions that cannot be, and closes their descriptors", (t) => {
    const file = ram(t, 8);
    const memory = new GuestMemory();
    memory.add(region(file, 2, 2));
    const before = openDescriptors().length;
    const wrong: Partial<MemoryRegion>[] = [
      { sizeBytes: 0 },
      { guestAddress: 2 ** 52 - PAGE },
      { mmapOffset: Number.MAX_SAFE_INTEGER },
      { userAddress: Number.MAX_SAFE_INTEGER },
      { guestAddress: 3 * PAGE },
      { guestAddress: PAGE },
      { guestAddress: 0, sizeBytes: 8 * PAGE },
    ];
    for (const change of wrong) {
      assert.throws(() => memory.add({ ...region(file, 2, 2), ...change }), MemoryRegionError);
    }
    assert.equal(memory.regionCount, 1);
    assert.equal(openDescriptors().length, before);
    memory.clear(() => {});
    assert.equal(openDescriptors().length, before - 1);
  });

  it("says so when a region cannot be mapped", (t) => {
    const memory = new GuestMemory();
    t.after(() => memory.clear(() => {}));
    const fd = openSync("/proc/self/status", "r");
    memory.add({ guestAddress: 0, sizeBytes: PAGE, userAddress: USER, mmapOffset: 0, fd });
    assert.throws(() => memory.find(0), MemoryRegionError);
    assert.throws(() => memory.findByUserAddress(USER), MemoryRegionError);
  });

  it("unmaps what is removed at once, or when nobody holds it any more", (t) => {
    const file = ram(t, 4);
    const memory = new GuestMemory();
    for (const isHeld of [false, true]) {
      memory.add(region(file, 0, 4));
      const chunk = memory.find(0);
      assert.ok(chunk);
      if (isHeld) {
        memory.hold();
        memory.hold();
      }
      const gone: unknown[] = [];
      assert.ok(memory.remove(0, 4 * PAGE, USER, (one) => gone.push(one)));
      assert.deepEqual(gone, [chunk]);
      assert.equal(memory.find(0), undefined, "new requests do not see it");
      assert.equal(mappings(chunk.hostAddress), isHeld);
      if (!isHeld) continue;
      chunk.bytes[0] = 1;
      memory.release();
      assert.ok(mappings(chunk.hostAddress));
      memory.release();
      assert.ok(!mappings(chunk.hostAddress));
    }
    assert.equal(
      memory.remove(0, 4 * PAGE, USER, () => {}),
      false,
    );
  });

  it("is a map of its regions, whatever is added and removed", (t) => {
    const file = ram(t, 16);
    for (let page = 0; page < 16; page++) file.bytes[page * PAGE] = page + 1;
    const step = fc.record({ isAdd: fc.boolean(), page: fc.nat(15), pages: fc.integer({ min: 1, max: 4 }) });
    const before = openDescriptors().length;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const memory = new GuestMemory();
        const model: { page: number; pages: number }[] = [];
        try {
          for (const { isAdd, page, pages } of steps) {
            const length = Math.min(pages, 16 - page);
            if (isAdd) {
              const overlaps = model.some(
                (other) => page < other.page + other.pages && other.page < page + length,
              );
              const add = () => memory.add(region(file, page, length));
              if (overlaps) assert.throws(add, MemoryRegionError);
              else {
                add();
                model.push({ page, pages: length });
              }
            } else {
              const index = model.findIndex((other) => other.page === page && other.pages === length);
              assert.equal(
                memory.remove(page * PAGE, length * PAGE, USER + page * PAGE, () => {}),
                index >= 0,
              );
              if (index >= 0) model.splice(index, 1);
            }
            for (let at = 0; at < 16; at++) {
              const owner = model.find((other) => at >= other.page && at < other.page + other.pages);
              const chunk = memory.find(at * PAGE);
              assert.equal(chunk?.guestAddress, owner === undefined ? undefined : owner.page * PAGE);
              if (chunk !== undefined) assert.equal(chunk.bytes[at * PAGE - chunk.guestAddress], at + 1);
            }
          }
        } finally {
          memory.clear(() => {});
        }
        assert.equal(openDescriptors().length, before);
      }),
      { numRuns: 100 },
    );
  });
});
