import assert from "node:assert/strict";
import { test } from "node:test";
import { ShimError, StatusCode } from "../error.js";
import type { RootfsMount } from "../events/task-events.js";
import { parseOverlayOptions, planRootfs } from "./rootfs.js";

const SNAPSHOTS = "/var/lib/containerd/snapshots";
const OWN = "/run/kata-containers/shared/own";
const PART = { kind: "bind", recursive: false, isOverlay: true, isOwn: true };

function plan(...mounts: Partial<RootfsMount>[]) {
  const complete = mounts.map((mount) => ({ type: "", source: "", target: "", options: [], ...mount }));
  return planRootfs("c1", complete, "/bundle/rootfs");
}

test("an overlay's layers are shown one by one, and the guest puts them together", () => {
  const options = [
    "index=off",
    `workdir=${SNAPSHOTS}/3/work`,
    `upperdir=${SNAPSHOTS}/3/fs`,
    `lowerdir=${SNAPSHOTS}/2/fs:${SNAPSHOTS}/1/fs`,
  ];
  assert.deepEqual(plan({ type: "overlay", source: "overlay", options }), {
    entries: [
      { ...PART, source: `${SNAPSHOTS}/2/fs`, path: "c1/lower/0", readOnly: true },
      { ...PART, source: `${SNAPSHOTS}/1/fs`, path: "c1/lower/1", readOnly: true },
      { ...PART, source: `${SNAPSHOTS}/3`, path: "c1/upper", readOnly: false },
    ],
    path: "/run/kata-containers/c1/rootfs",
    storages: [
      {
        driver: "overlayfs",
        source: "overlay",
        fstype: "overlay",
        mount_point: "/run/kata-containers/c1/rootfs",
        options: [
          `lowerdir=${OWN}/c1/lower/0:${OWN}/c1/lower/1`,
          `upperdir=${OWN}/c1/upper/fs`,
          `workdir=${OWN}/c1/upper/work`,
          "index=off",
          "metacopy=off",
          "redirect_dir=off",
        ],
      },
    ],
  });
});

test("marks that only this guest's overlay would understand are not made, whatever the host's overlay does", () => {
  const options = [
    "lowerdir=/1",
    "upperdir=/2/fs",
    "workdir=/2/work",
    "redirect_dir=on",
    "metacopy=on",
    "volatile",
  ];
  const [, , , ...others] = plan({ type: "overlay", options }).storages[0]?.options ?? [];
  assert.deepEqual(others, ["volatile", "index=off", "metacopy=off", "redirect_dir=off"]);
});

test("a read-only view of several layers has no upper directory", () => {
  const { entries, storages } = plan({ type: "overlay", options: ["lowerdir=/2:/1"] });
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["c1/lower/0", "c1/lower/1"],
  );
  assert.deepEqual(storages[0]?.options, [`lowerdir=${OWN}/c1/lower/0:${OWN}/c1/lower/1`]);
});

test("an overlay's paths may hold colons and backslashes", () => {
  const options = ["lowerdir=/a\\:b:/c\\\\d", "upperdir=/u\\:p/fs", "workdir=/u\\:p/work", "userxattr"];
  assert.deepEqual(parseOverlayOptions(options), {
    lower: ["/a:b", "/c\\d"],
    upper: "/u:p/fs",
    work: "/u:p/work",
    others: ["userxattr"],
  });
});

test("a bind and other file systems are the root themselves", () => {
  assert.deepEqual(plan({ type: "bind", source: "/snapshot/fs", options: ["rbind", "rw"] }), {
    entries: [
      {
        ...{ kind: "bind", source: "/snapshot/fs", path: "c1/rootfs" },
        ...{ readOnly: false, recursive: true, isOwn: true },
      },
    ],
    path: `${OWN}/c1/rootfs`,
    storages: [],
  });
  const [view] = plan({ type: "none", source: "/snapshot/fs", options: ["bind", "ro"] }).entries;
  assert.deepEqual(view, {
    kind: "bind",
    source: "/snapshot/fs",
    path: "c1/rootfs",
    readOnly: true,
    recursive: false,
    isOwn: true,
  });
  const mount = { type: "ext4", source: "/dev/loop1", target: "", options: ["ro"] };
  assert.deepEqual(plan(mount).entries, [{ kind: "mount", mount, path: "c1/rootfs", isOwn: true }]);
});

test("without a mount the bundle's rootfs is the root, with what is mounted there", () => {
  assert.deepEqual(plan().entries, [
    { kind: "bind", source: "/bundle/rootfs", path: "c1/bundle", readOnly: false, recursive: true },
  ]);
});

for (const [what, mounts, message] of [
  ["two mounts", [{ type: "erofs" }, { type: "overlay" }], /has 2 mounts \(erofs, overlay\); needed: one/],
  ["no layer", [{ type: "overlay", options: ["upperdir=/u", "workdir=/w"] }], /needed: lowerdir/],
  [
    "marks as user attributes",
    [{ type: "overlay", options: ["lowerdir=/l", "userxattr"] }],
    /with userxattr.*; needed: one without/,
  ],
  ["no work directory", [{ type: "overlay", options: ["lowerdir=/l", "upperdir=/u"] }], /with workdir/],
  [
    "upper and work apart",
    [{ type: "overlay", options: ["lowerdir=/l", "upperdir=/a/fs", "workdir=/b/work"] }],
    /different directories/,
  ],
] as const) {
  test(`a rootfs with ${what} is refused`, () => {
    assert.throws(
      () => plan(...mounts),
      (error) =>
        error instanceof ShimError &&
        error.code === StatusCode.INVALID_ARGUMENT &&
        message.test(error.message),
    );
  });
}
