import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Opcode } from "../fuse/constants.js";
import { createFuseServer } from "../fuse/server.js";
import { createFsdMetrics } from "../metrics.js";
import type { ExportOption } from "../passthrough/export-policy.js";
import { PRESET_SHARE_POLICY } from "../passthrough/share-policy.js";
import { type Fixture, serveDirectory } from "../testing/fixture.js";
import { RecordedWindow } from "../testing/recorded-window.js";
import { ROOT, type TestGuest, u32, u64 } from "../testing/test-guest.js";

const MiB = 1 << 20;
const RANGE = 2 * MiB;
const READ = 2n;
const WRITE = 1n;
const NO_HANDLE = 0xffff_ffff_ffff_ffffn;

function setup(
  guest: TestGuest,
  nodeId: bigint,
  fileOffset: number,
  windowOffset: number,
  options: {
    length?: number;
    flags?: bigint;
  } = {},
): string {
  const { length = RANGE, flags = READ } = options;
  const args = u64(NO_HANDLE, BigInt(fileOffset), BigInt(length), flags, BigInt(windowOffset));
  return guest.send(Opcode.SETUPMAPPING, nodeId, [args]).error;
}

function remove(guest: TestGuest, ...offsets: number[]): string {
  const list = u64(...offsets.flatMap((offset) => [BigInt(offset), BigInt(RANGE)]));
  return guest.send(Opcode.REMOVEMAPPING, ROOT, [u32(offsets.length), list]).error;
}

/** A read-only share with one file of 5 MiB and a little, and a window of 8 ranges. */
function serve(t: TestContext, immutable = false): Fixture & { window: RecordedWindow; file: bigint } {
  const window = new RecordedWindow(8 * RANGE);
  const policy: ExportOption = immutable
    ? { pattern: [], policy: "immutable" }
    : { pattern: [], policy: "shared", dax: true };
  const fixture = serveDirectory(t, { readOnly: true, dax: "inode", window, exports: [policy] }, (dir) => {
    writeFileSync(join(dir, "file"), "");
    truncateSync(join(dir, "file"), 5 * MiB + 100);
    writeFileSync(join(dir, "small"), "small");
  });
  return { ...fixture, window, file: fixture.guest.lookup(ROOT, "file").nodeId };
}

test("SETUPMAPPING maps a marked read-only descriptor of the file", (t) => {
  const { guest, window, file, dir, metrics } = serve(t);
  assert.equal(setup(guest, file, RANGE, 3 * RANGE), "");
  assert.deepEqual(
    [...window.maps],
    [
      [
        3 * RANGE,
        {
          path: join(dir, "file"),
          fdOffset: RANGE,
          lengthBytes: RANGE,
          writable: false,
          accessMode: 0,
          signal: 61,
        },
      ],
    ],
  );
  assert.equal(metrics.daxMapsLive, 1);
  assert.equal(metrics.daxLiveBytes, RANGE);
});

test("a file that never changes is mapped up to its last page, any other whole ranges", (t) => {
  const immutable = serve(t, true);
  assert.equal(setup(immutable.guest, immutable.file, 2 * RANGE, 0), "");
  assert.equal(immutable.window.maps.get(0)?.lengthBytes, MiB + 4096);
  assert.equal(remove(immutable.guest, 0), "", "and taken back by the range that the guest knows");
  assert.equal(immutable.window.maps.size, 0);
  const other = serve(t);
  assert.equal(setup(other.guest, other.file, 2 * RANGE, 0), "");
  assert.equal(other.window.maps.get(0)?.lengthBytes, RANGE);
});

test("the same range again is no new map, another one takes its place", (t) => {
  const { guest, window, file, metrics } = serve(t);
  assert.equal(setup(guest, file, 0, 0), "");
  assert.equal(setup(guest, file, 0, 0), "");
  assert.equal(metrics.daxMapsTotal, 1);
  assert.equal(setup(guest, file, RANGE, 0), "");
  assert.equal(window.maps.get(0)?.fdOffset, RANGE);
  assert.equal(metrics.daxMapsTotal, 2);
  assert.equal(metrics.daxUnmapsTotal, 1);
  assert.equal(metrics.daxMapsLive, 1);
});

test("one request may cover several ranges, which are taken back one by one", (t) => {
  const { guest, window, file } = serve(t);
  assert.equal(setup(guest, file, 0, 2 * RANGE, { length: 2 * RANGE }), "");
  assert.deepEqual([...window.maps.keys()], [2 * RANGE, 3 * RANGE]);
  assert.equal(remove(guest, 3 * RANGE), "");
  assert.deepEqual([...window.maps.keys()], [2 * RANGE]);
});

test("REMOVEMAPPING: unknown ranges are passed over, wrong ones refused, the rest is done", (t) => {
  const { guest, window, file } = serve(t);
  setup(guest, file, 0, 0);
  setup(guest, file, RANGE, RANGE);
  assert.equal(remove(guest, 0, 5 * RANGE, 1, RANGE), "EINVAL");
  assert.equal(window.maps.size, 0);
  assert.equal(remove(guest, 0), "");
  assert.equal(guest.send(Opcode.REMOVEMAPPING, ROOT, [u32(256), u64(0n, BigInt(RANGE))]).error, "EINVAL");
  assert.equal(guest.send(Opcode.REMOVEMAPPING, ROOT, [u32(0xffff_ffff)]).error, "EINVAL");
});

test("what does not fit the window or the file is refused", (t) => {
  const { guest, window, file, metrics } = serve(t, true);
  assert.equal(setup(guest, file, 0, 8 * RANGE), "EINVAL");
  assert.equal(setup(guest, file, 0, 7 * RANGE, { length: 2 * RANGE }), "EINVAL");
  assert.equal(setup(guest, file, 0, 4096), "EINVAL");
  assert.equal(setup(guest, file, 4096, 0), "EINVAL");
  assert.equal(setup(guest, file, 0, 0, { length: 0 }), "EINVAL");
  assert.equal(setup(guest, file, 0, 0, { length: 4096 }), "EINVAL");
  assert.equal(setup(guest, file, 6 * MiB, 0), "EINVAL", "behind the end");
  assert.equal(setup(guest, file, Number.MAX_SAFE_INTEGER - 1, 0), "EINVAL");
  const huge = u64(NO_HANDLE, 0n, 1n << 63n, READ, 1n << 63n);
  assert.equal(guest.send(Opcode.SETUPMAPPING, file, [huge]).error, "EINVAL");
  assert.equal(setup(guest, ROOT, 0, 0), "EINVAL", "a directory");
  assert.equal(setup(guest, 77n, 0, 0), "ESTALE");
  assert.equal(setup(guest, file, 0, 0, { flags: READ | WRITE }), "EROFS");
  assert.equal(window.maps.size, 0);
  assert.equal(metrics.daxMapFailures, 12);
});

test("while the device does not run, the front end is left alone", (t) => {
  const { guest, window, file } = serve(t);
  setup(guest, file, 0, 0);
  window.active = false;
  assert.equal(setup(guest, file, 0, RANGE), "ENODEV");
  assert.equal(remove(guest, 0), "");
});

test("a front end that refuses is an error of that request only", (t) => {
  const { guest, window, file, errors, metrics } = serve(t);
  window.isBroken = true;
  assert.equal(setup(guest, file, 0, 0), "EIO");
  assert.equal(metrics.daxMapsLive, 0);
  assert.match(errors.join(), /refused/);
  window.isBroken = false;
  assert.equal(setup(guest, file, 0, 0), "");
});

test("DESTROY takes all maps back, a reset forgets them", (t) => {
  const { guest, window, file, metrics } = serve(t);
  setup(guest, file, 0, 0);
  guest.call(Opcode.DESTROY, 0n, []);
  assert.equal(window.maps.size, 0);
  guest.init();
  setup(guest, guest.lookup(ROOT, "file").nodeId, 0, 0);
  window.maps.clear();
  guest.server.reset();
  assert.equal(metrics.daxMapsLive, 0);
  guest.init();
  assert.equal(setup(guest, guest.lookup(ROOT, "file").nodeId, 0, 0), "");
});

test("a session begins even if the front end knows nothing of the last one's maps", (t) => {
  const { guest, window, file, metrics } = serve(t);
  setup(guest, file, 0, 0);
  setup(guest, file, RANGE, RANGE);
  window.maps.clear();
  guest.init();
  assert.equal(metrics.daxMapsLive, 0);
  assert.equal(setup(guest, guest.lookup(ROOT, "file").nodeId, 0, 0), "");
});

test("a map outlives the guest's last reference to its inode", (t) => {
  const { guest, window, file } = serve(t);
  setup(guest, file, 0, 0);
  guest.forget(file, 1n);
  assert.equal(window.maps.size, 1);
  const again = guest.lookup(ROOT, "file").nodeId;
  assert.notEqual(again, file);
  assert.equal(setup(guest, again, 0, 0), "");
  assert.equal(window.maps.size, 1);
});

test("more files than descriptors are kept for", (t) => {
  const window = new RecordedWindow(100 * RANGE);
  const exports: ExportOption[] = [{ pattern: [], policy: "immutable" }];
  const { guest, dir } = serveDirectory(t, { readOnly: true, dax: "inode", window, exports }, (path) => {
    for (let index = 0; index < 100; index++) writeFileSync(join(path, `f${index}`), "x");
  });
  for (let index = 0; index < 100; index++) {
    assert.equal(setup(guest, guest.lookup(ROOT, `f${index}`).nodeId, 0, index * RANGE), "");
    assert.equal(window.maps.get(index * RANGE)?.path, join(dir, `f${index}`));
  }
  assert.equal(setup(guest, guest.lookup(ROOT, "f0").nodeId, 0, 50 * RANGE), "");
  assert.equal(window.maps.get(50 * RANGE)?.path, join(dir, "f0"));
});

test("files are marked from the threshold on, where nothing may be written", (t) => {
  const { guest } = serve(t);
  assert.equal(guest.lookup(ROOT, "file").attr.flags, 2);
  assert.equal(guest.lookup(ROOT, "small").attr.flags, 0);
  assert.equal(guest.lookup(ROOT, "small").attr.size, 5);
  const exports: ExportOption[] = [{ pattern: [], policy: "shared", dax: true }];
  const window = new RecordedWindow(RANGE);
  const writable = serveDirectory(t, { dax: "inode", window, exports }, (dir) => {
    writeFileSync(join(dir, "file"), Buffer.alloc(100_000));
  });
  const file = writable.guest.lookup(ROOT, "file");
  assert.equal(file.attr.flags, 0);
  assert.equal(setup(writable.guest, file.nodeId, 0, 0), "ENOTSUP");
});

test("without a window there is nothing to map into; dax=always wants a read-only device", (t) => {
  const { guest, dir } = serveDirectory(t, { readOnly: true, dax: "inode" });
  assert.equal(setup(guest, ROOT, 0, 0), "ENOSYS");
  const ignore = () => {};
  const options = {
    ...PRESET_SHARE_POLICY,
    root: dir,
    dax: "always",
    window: new RecordedWindow(RANGE),
    metrics: createFsdMetrics(),
    longCallsMax: 0,
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  } as const;
  assert.throws(() => createFuseServer(options), /read-only/);
});
