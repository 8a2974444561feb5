import assert from "node:assert/strict";
import { test } from "node:test";
import { containerTypeOf } from "./container-type.js";
import { ShimError, StatusCode } from "./error.js";

test("a container without annotations stands alone", () => {
  assert.deepEqual(containerTypeOf({}), { kind: "single" });
  assert.deepEqual(containerTypeOf({ "io.kubernetes.cri.sandbox-id": "x" }), { kind: "single" });
});

test("containerd's CRI annotations", () => {
  assert.deepEqual(containerTypeOf({ "io.kubernetes.cri.container-type": "sandbox" }), { kind: "sandbox" });
  assert.deepEqual(
    containerTypeOf({
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-id": "pod1",
    }),
    { kind: "pod-container", sandboxId: "pod1" },
  );
});

test("CRI-O's annotations", () => {
  assert.deepEqual(
    containerTypeOf({
      "io.kubernetes.cri-o.ContainerType": "container",
      "io.kubernetes.cri-o.SandboxID": "pod1",
    }),
    { kind: "pod-container", sandboxId: "pod1" },
  );
});

for (const [what, annotations] of [
  ["an unknown type", { "io.kubernetes.cri.container-type": "vm" }],
  ["a pod's container without a sandbox id", { "io.kubernetes.cri.container-type": "container" }],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => containerTypeOf(annotations),
      (error) => error instanceof ShimError && error.code === StatusCode.INVALID_ARGUMENT,
    );
  });
}
