import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KEPT_PREFIX, overlayNames, volumeNames } from "./overlay-names.js";
import { guestList, hostName } from "./testing/translate.js";

/** What some overlay of the host, or the host itself, would obey. */
const OBEYED =
  /^(trusted\.|user\.(overlay|fuseoverlayfs|containers)\.|security\.(?!capability$)|system\.(?!posix_acl_(access|default)$))/;

const pieces = [
  ...["trusted.", "user.", "security.", "system.", "kata-fs.", "overlay.", "fuseoverlayfs.", "containers."],
  ...[
    "opaque",
    "redirect",
    "metacopy",
    "origin",
    "impure",
    "protattr",
    "uuid",
    "capability",
    "selinux",
    "ima",
    "a",
    "é",
  ],
  ...["posix_acl_access", "posix_acl_default", "override_stat", "."],
];
const anyName = fc
  .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(""))
  .filter((name) => Buffer.byteLength(name) <= 255);

for (const [what, map] of [
  ["a container's directories", overlayNames()],
  ["volumes", volumeNames()],
] as const) {
  describe(`names in ${what}`, () => {
    it("never let the guest reach what the host obeys", () => {
      fc.assert(
        fc.property(anyName, (name) => assert.doesNotMatch(hostName(map, name), OBEYED)),
        { numRuns: 5000 },
      );
    });

    it("never show the guest what the host obeys, nor what it cannot ask for", () => {
      fc.assert(
        fc.property(anyName, (name) => {
          for (const seen of guestList(map, [name])) assert.equal(hostName(map, seen), name);
        }),
        { numRuns: 5000 },
      );
    });

    it("give each name back that was set", () => {
      const words = ["denied", "unsupported", "opaque", "forgotten"];
      fc.assert(
        fc.property(anyName, (name) => {
          const host = hostName(map, name);
          if (!words.includes(host)) assert.deepEqual(guestList(map, [host]), [name]);
        }),
        { numRuns: 5000 },
      );
    });

    it("keep what the host must not see under its name", () => {
      for (const name of [
        "trusted.mine",
        "user.overlay.redirect",
        "user.fuseoverlayfs.opaque",
        "user.containers.override_stat",
      ])
        assert.equal(hostName(map, name), KEPT_PREFIX + name);
      assert.equal(hostName(map, `${KEPT_PREFIX}trusted.mine`), "denied");
    });

    it("leave alone what both sides understand", () => {
      for (const name of [
        "user.mine",
        "security.capability",
        "system.posix_acl_access",
        "system.posix_acl_default",
      ])
        assert.equal(hostName(map, name), name);
      for (const name of [
        "security.selinux",
        "security.ima",
        "security.capability2",
        "system.nfs4_acl",
        "other",
        "user",
      ])
        assert.equal(hostName(map, name), "unsupported");
    });
  });
}

describe("the guest's overlay", () => {
  it("marks in a container's directories what the host's may find, and copies where it would redirect", () => {
    const map = overlayNames();
    const verdict = (mark: string) => hostName(map, `trusted.overlay.${mark}`);
    assert.equal(verdict("opaque"), "opaque");
    for (const mark of ["origin", "impure", "uuid"]) assert.equal(verdict(mark), "forgotten");
    for (const mark of ["redirect", "metacopy", "upper", "nlink", "whiteout", "verity"])
      assert.equal(verdict(mark), "denied");
    for (const mark of ["protattr", "overlay.opaque", "overlay.overlay.redirect"])
      assert.equal(verdict(mark), `${KEPT_PREFIX}trusted.overlay.${mark}`);
  });

  it("keeps on a volume what it wants, but for what means something else in the next guest", () => {
    const map = volumeNames();
    assert.equal(hostName(map, "trusted.overlay.origin"), "forgotten");
    for (const mark of ["opaque", "redirect", "metacopy", "impure"])
      assert.equal(hostName(map, `trusted.overlay.${mark}`), `${KEPT_PREFIX}trusted.overlay.${mark}`);
  });

  it("does not see in a layer what an image has planted for it", () => {
    assert.deepEqual(
      guestList(overlayNames(), [`${KEPT_PREFIX}trusted.overlay.redirect`, "trusted.overlay.redirect"]),
      [],
    );
  });
});
