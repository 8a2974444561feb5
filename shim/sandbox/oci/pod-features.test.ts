import assert from "node:assert/strict";
import { test } from "node:test";
import { requirePodFeatures } from "./pod-features.js";

const TYPES = ["mount", "network", "pid", "ipc", "uts"];

interface Parts {
  readonly without?: string;
  readonly devices?: readonly object[];
  readonly type?: string;
  readonly rules?: readonly object[];
}

function config({ without = "", devices = [], type = "sandbox", rules = [] }: Parts) {
  return {
    annotations: {
      ...(type !== "" && { "io.kubernetes.cri.container-type": type }),
      "io.kubernetes.cri.sandbox-id": "pod",
    },
    linux: {
      namespaces: TYPES.filter((each) => each !== without).map((each) => ({ type: each })),
      devices,
      resources: { devices: rules },
    },
  };
}

test("a pod in namespaces of its own is as it should be", () => {
  for (const type of ["sandbox", "container"])
    assert.doesNotThrow(() => requirePodFeatures(config({ type })));
});

test("what a pod would share with its host is refused with the field's name", () => {
  for (const [without, field] of [
    ["network", "hostNetwork"],
    ["pid", "hostPID"],
    ["ipc", "hostIPC"],
  ] as const) {
    for (const type of ["sandbox", "container"])
      assert.throws(() => requirePodFeatures(config({ without, type })), {
        message: new RegExp(`^${field}: true is not supported by kata-fs: .* ${without} namespace`),
      });
    assert.doesNotThrow(() => requirePodFeatures(config({ without, type: "" })), "ctr's containers");
  }
});

test("character devices of the host are refused, unless the guest has the same of itself", () => {
  const device = (path: string, type: string, major: number, minor: number) => ({ path, type, major, minor });
  const own = [
    device("/dev/null", "c", 1, 3),
    device("/dev/fuse", "c", 10, 229),
    device("/dev/xvda", "b", 1, 3),
  ];
  assert.doesNotThrow(() => requirePodFeatures(config({ devices: own, type: "container" })));
  for (const foreign of [device("/dev/kvm", "c", 10, 232), device("/dev/tty9", "u", 4, 9)])
    assert.throws(() => requirePodFeatures(config({ devices: [...own, foreign], type: "container" })), {
      message: `device ${foreign.path} is not supported by kata-fs: devices of the host are not passed to a virtual machine`,
    });
});

test("a privileged container, which is given all devices of the host, has those of its guest", () => {
  const devices = [{ path: "/dev/kvm", type: "c", major: 10, minor: 232 }];
  const allowed = { allow: true, access: "rwm" };
  for (const rule of [allowed, { ...allowed, type: "a" }])
    assert.doesNotThrow(() => requirePodFeatures(config({ devices, rules: [rule], type: "container" })));
  for (const rule of [
    { ...allowed, allow: false },
    { ...allowed, type: "c", major: 10, minor: 232 },
    { ...allowed, access: "rw" },
  ])
    assert.throws(
      () => requirePodFeatures(config({ devices, rules: [rule], type: "container" })),
      /\/dev\/kvm/,
    );
});
