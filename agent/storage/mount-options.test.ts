import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_SLAVE,
} from "../../lib/sys/mount.js";
import { parseMountOptions } from "./mount-options.js";

describe("parseMountOptions", () => {
  test("knows none", () => {
    assert.deepEqual(parseMountOptions([]), { flags: 0, propagation: [], data: "" });
  });

  test("keeps the file system's options in their order", () => {
    const { flags, data } = parseMountOptions(["lowerdir=/a:/b", "nodev", "upperdir=/u", "workdir=/w"]);
    assert.equal(flags, MS_NODEV);
    assert.equal(data, "lowerdir=/a:/b,upperdir=/u,workdir=/w");
  });

  test("lets the later of two opposites win", () => {
    assert.equal(parseMountOptions(["ro", "noexec", "rw"]).flags, MS_NOEXEC);
    assert.equal(parseMountOptions(["rw", "ro"]).flags, MS_RDONLY);
  });

  test("separates propagation, which mount(2) takes alone", () => {
    assert.deepEqual(parseMountOptions(["rbind", "rprivate", "slave"]), {
      flags: MS_BIND | MS_REC,
      propagation: [MS_PRIVATE | MS_REC, MS_SLAVE],
      data: "",
    });
  });

  test("skips what says nothing", () => {
    assert.deepEqual(parseMountOptions(["defaults", ""]), { flags: 0, propagation: [], data: "" });
  });
});
