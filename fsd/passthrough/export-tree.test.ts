import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DeviceDefaults, type ExportOption, POLICY_NAMES, type PolicyName } from "./export-policy.js";
import { ExportTree, ROOT_ZONE } from "./export-tree.js";

const DEVICE: DeviceDefaults = {
  readOnly: false,
  cache: "auto",
  negativeSeconds: undefined,
  dax: "inode",
  daxThresholdBytes: 4096,
};

function option(glob: string, policy: PolicyName): ExportOption {
  return { pattern: glob.split("/").filter(Boolean), policy };
}

/** The zone of a path, found as the daemon does: name by name. */
function zoneOf(tree: ExportTree, path: string): number {
  const names = path.split("/").filter(Boolean);
  return names.reduce((zone, name) => tree.child(zone, Buffer.from(`..${name}\0rest`), 2), ROOT_ZONE);
}

const isSame = (tree: ExportTree, path: string, policy: PolicyName, readOnly = policy === "immutable") =>
  assert.deepEqual(
    tree.policy(zoneOf(tree, path)),
    { ...new ExportTree([option("/", policy)], DEVICE).policy(ROOT_ZONE), readOnly },
    path,
  );

test("a policy holds for the directory that its glob names, and for all below it", () => {
  const tree = new ExportTree(
    [option("*/lower/*", "immutable"), option("*/upper", "exclusive"), option("*/volumes/*", "shared")],
    DEVICE,
  );
  for (const path of ["", "c1", "c1/lower", "c1/uppe", "c1/upperx", "c1/x/upper", "lower/0"])
    isSame(tree, path, "auto");
  for (const path of ["c1/lower/0", "c2/lower/17/usr/lib", "upper/lower/0"]) isSame(tree, path, "immutable");
  for (const path of ["c1/upper", "c1/upper/fs/lower/0"]) isSame(tree, path, "exclusive");
  isSame(tree, "c1/volumes/3/x", "shared");
});

test("an export inside another decides from there on, and of two for one directory the last", () => {
  const tree = new ExportTree(
    [option("a", "immutable"), option("a/b/*", "shared"), option("*", "exclusive"), option("/", "never")],
    DEVICE,
  );
  isSame(tree, "", "never");
  isSame(tree, "a", "exclusive");
  isSame(tree, "a/b", "exclusive");
  isSame(tree, "a/b/c/d", "shared");
});

test("a file without a name belongs where its directory does, and to no export that begins below", () => {
  const tree = new ExportTree([option("a", "shared"), option("*/b", "immutable")], DEVICE);
  assert.equal(tree.policy(tree.nameless(ROOT_ZONE)), tree.policy(ROOT_ZONE));
  const inA = zoneOf(tree, "a");
  assert.equal(tree.policy(tree.nameless(inA)), tree.policy(inA));
  const below = zoneOf(tree, "a/b");
  assert.equal(tree.nameless(below), below);
});

test("only an immutable export is mapped unasked, and none where the device has no window", () => {
  const thresholds = (device: DeviceDefaults, extra: Partial<ExportOption> = {}) =>
    POLICY_NAMES.map((policy) =>
      new ExportTree([{ pattern: [], policy, ...extra }], device).policy(ROOT_ZONE),
    ).map(({ daxThresholdBytes }) => daxThresholdBytes);
  const none = POLICY_NAMES.map(() => Number.POSITIVE_INFINITY);
  assert.deepEqual(thresholds(DEVICE), [4096, ...none.slice(1)]);
  assert.deepEqual(thresholds(DEVICE, { dax: false }), none);
  assert.deepEqual(
    thresholds(DEVICE, { dax: 100 }),
    none.map(() => 100),
  );
  assert.deepEqual(thresholds({ ...DEVICE, dax: "never" }, { dax: true }), none);
});

test("zones are as few as the patterns allow, whatever the guest asks for", () => {
  const name = fc.constantFrom("a", "b", "c", "*");
  const pattern = fc.array(name, { maxLength: 4 });
  const path = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 5 }), fc.array(path), (patterns, paths) => {
      const options = patterns.map((components, index) => ({
        pattern: components,
        policy: POLICY_NAMES[index % POLICY_NAMES.length] ?? "auto",
      }));
      const tree = new ExportTree(options, DEVICE);
      const zones = new Set<number>();
      for (const names of paths) {
        // What the rules say, without zones: the deepest directory on the way that a pattern names, by the last pattern that does.
        let expected = -1;
        for (let depth = 0; depth <= names.length; depth++) {
          const fits = (components: readonly string[]) =>
            components.length === depth &&
            components.every((component, index) => component === "*" || component === names[index]);
          const found = patterns.findLastIndex(fits);
          if (found >= 0) expected = found;
        }
        const zone = zoneOf(tree, names.join("/"));
        zones.add(zone);
        const wanted = expected < 0 ? [] : [{ pattern: [], policy: options[expected]?.policy ?? "auto" }];
        assert.deepEqual(tree.policy(zone), new ExportTree(wanted, DEVICE).policy(ROOT_ZONE));
      }
      assert.ok(zones.size <= 2 ** (patterns.length + 1) * 5);
    }),
  );
});

test("a zone has its number whoever asks, and in whatever order: inodes are known by it to the next worker", () => {
  const component = fc.constantFrom("*", "a", "b", "c");
  const glob = fc.array(component, { maxLength: 3 }).map((parts) => parts.join("/"));
  const options = fc.array(
    fc.tuple(glob, fc.constantFrom(...POLICY_NAMES)).map(([pattern, policy]) => option(pattern, policy)),
    { maxLength: 4 },
  );
  const paths = fc.array(
    fc.array(fc.constantFrom("a", "b", "c", "other"), { maxLength: 4 }).map((names) => names.join("/")),
  );
  fc.assert(
    fc.property(options, paths, (given, asked) => {
      const [one, other] = [new ExportTree(given, DEVICE), new ExportTree(given, DEVICE)];
      const zones = asked.map((path) => zoneOf(one, path));
      assert.deepEqual(
        asked
          .toReversed()
          .map((path) => zoneOf(other, path))
          .toReversed(),
        zones,
      );
    }),
  );
});
