import assert from "node:assert/strict";
import { test } from "node:test";
import { blockDevicesOf } from "./block-devices.js";

const DEVICES = [
  { path: "/dev/null", type: "c", major: 1, minor: 3 },
  { path: "/dev/xvda", type: "b", major: 7, minor: 1 },
];

/** Whether /dev/xvda may only be read. */
function readOnly(...rules: object[]): boolean | undefined {
  return blockDevicesOf({ linux: { devices: DEVICES, resources: { devices: rules } } })[0]?.readOnly;
}

test("a container's block devices are known by the host's numbers", () => {
  const devices = blockDevicesOf({ linux: { devices: DEVICES } });
  assert.deepEqual(devices, [{ path: "/dev/xvda", major: 7, minor: 1, readOnly: true }]);
  assert.deepEqual(blockDevicesOf({}), []);
});

test("one may write if a rule for the device says so", () => {
  const rule = { allow: true, type: "b", major: 7, minor: 1, access: "rwm" };
  assert.equal(readOnly(rule), false);
  assert.equal(readOnly({ ...rule, access: "r" }), true);
  assert.equal(readOnly({ ...rule, minor: 2 }), true);
  assert.equal(readOnly({ ...rule, type: "c" }), true);
  assert.equal(readOnly({ ...rule, allow: false }), true);
  assert.equal(readOnly({ allow: true, access: "rwm" }), false, "a privileged container");
});
