import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDescriptors } from "../../lib/sys/testing/open-descriptors.js";
import { layoutOf, removeDirectory } from "./layout.js";
import { OverlayBroker } from "./overlay-broker.js";
import { Share } from "./share.js";

const options = { skip: process.geteuid?.() === 0 ? false : "needs root" };

const ignore = () => {};
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A share in a directory of its own, beside a directory of the host with a file. */
function fixture(t: TestContext) {
  const outside = mkdtempSync(join(tmpdir(), "kata-fs-share-"));
  const host = join(outside, "host");
  mkdirSync(join(host, "below"), { recursive: true });
  writeFileSync(join(host, "file"), "of the host");
  const directory = join(outside, "sandbox");
  mkdirSync(directory);
  const layout = layoutOf(directory);
  const share = Share.create(layout, new OverlayBroker(silent));
  t.after(() => {
    for (const point of mountsBelow(outside).reverse()) execFileSync("umount", ["-l", point]);
    rmSync(outside, { recursive: true });
  });
  return { outside, host, layout, share };
}

function mountsBelow(directory: string): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  return points.filter((point) => point.startsWith(directory));
}

const BIND = { kind: "bind", readOnly: false, recursive: false } as const;

test("the share can be written only where something writable was put", options, (t) => {
  const { host, layout, share } = fixture(t);
  share.add({ ...BIND, source: host, path: "c1/upper" });
  share.add({ ...BIND, source: host, path: "c1/lower/0", readOnly: true });
  share.add({ ...BIND, source: join(host, "file"), path: "c1/volumes/0", readOnly: true });
  const at = (path: string) => join(layout.shared, path);

  writeFileSync(at("c1/upper/new"), "of the guest");
  assert.equal(readFileSync(join(host, "new"), "utf8"), "of the guest");
  assert.equal(readFileSync(at("c1/lower/0/new"), "utf8"), "of the guest");
  assert.equal(readFileSync(at("c1/volumes/0"), "utf8"), "of the host");
  for (const path of ["new", "c1/new", "c1/lower/0/other", "c1/volumes/0"]) {
    assert.throws(() => writeFileSync(at(path), "no"), { code: "EROFS" });
  }
});

test("what is mounted below a source comes along when it should", options, (t) => {
  const { host, layout, share } = fixture(t);
  execFileSync("mount", ["-t", "tmpfs", "kata-fs-test", join(host, "below")]);
  writeFileSync(join(host, "below", "deep"), "");
  share.add({ ...BIND, source: host, path: "c1/volumes/0" });
  share.add({ ...BIND, source: host, path: "c1/volumes/1", recursive: true });
  const namesIn = (path: string) => readdirSync(join(layout.shared, path, "below"));
  assert.deepEqual(namesIn("c1/volumes/0"), []);
  assert.deepEqual(namesIn("c1/volumes/1"), ["deep"]);
});

test("other file systems are mounted in the share", options, (t) => {
  const { layout, share } = fixture(t);
  const mount = { type: "tmpfs", source: "kata-fs-test", options: ["size=64k"] };
  share.add({ kind: "mount", mount, path: "c1/rootfs" });
  writeFileSync(join(layout.shared, "c1/rootfs/file"), "");
  const bad = { kind: "mount", mount: { ...mount, type: "nosuchfs" }, path: "c2/rootfs" } as const;
  assert.throws(() => share.add(bad), /mount of kata-fs-test, type nosuchfs: mount: .*wrong fs type/);
});

test("a source that is not there is named, and nothing is left of it", options, (t) => {
  const { layout, share } = fixture(t);
  assert.throws(
    () => share.add({ ...BIND, source: "/no/such/volume", path: "c1/volumes/0" }),
    /the source of a mount: ENOENT.*\/no\/such\/volume/,
  );
  share.remove("c1");
  assert.deepEqual(readdirSync(layout.shared), []);
});

test("a container leaves with all that it had, and the host keeps its files", options, (t) => {
  const { host, layout, share } = fixture(t);
  for (const id of ["c1", "c11"]) {
    share.add({ ...BIND, source: host, path: `${id}/upper` });
    share.add({ ...BIND, source: join(host, "file"), path: `${id}/volumes/0` });
  }
  share.remove("c1");
  assert.deepEqual(readdirSync(layout.shared), ["c11"]);
  assert.equal(readFileSync(join(layout.shared, "c11/upper/file"), "utf8"), "of the host");
  assert.equal(readFileSync(join(host, "file"), "utf8"), "of the host");
});

test("the share leaves with everything in it", options, (t) => {
  const { outside, host, layout, share } = fixture(t);
  share.add({ ...BIND, source: host, path: "c1/upper" });
  share.destroy();
  removeDirectory(layout);
  assert.deepEqual(mountsBelow(outside), []);
  assert.equal(existsSync(layout.directory), false);
  assert.equal(readFileSync(join(host, "file"), "utf8"), "of the host");
});

test("a directory whose share is still mounted is not removed", options, (t) => {
  const { host, layout, share } = fixture(t);
  share.add({ ...BIND, source: host, path: "c1/upper" });
  assert.throws(() => removeDirectory(layout), { code: "EBUSY" });
  assert.equal(readFileSync(join(host, "file"), "utf8"), "of the host");
});

test("what the broker of marks holds open of a container goes with it", options, (t) => {
  const { host, share } = fixture(t);
  const before = openDescriptors().length;
  share.add({ ...BIND, source: host, path: "c1/lower/0", readOnly: true, isOverlay: true });
  share.add({ ...BIND, source: host, path: "c1/upper", isOverlay: true });
  share.add({ ...BIND, source: host, path: "c2/upper", isOverlay: true });
  assert.equal(openDescriptors().length, before + 3);
  share.remove("c1");
  assert.equal(openDescriptors().length, before + 1);
  share.destroy();
  assert.equal(openDescriptors().length, before);
});
