import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fitToGuest } from "./guest-policy.js";
import type { RuntimeLinux, RuntimeSpec } from "./runtime-spec.js";

function spec(linux: Partial<RuntimeLinux>): RuntimeSpec {
  return {
    ociVersion: "1.0.2",
    root: { path: "/rootfs", readonly: false },
    hostname: "pod",
    mounts: [],
    annotations: {},
    linux: { namespaces: [], devices: [], maskedPaths: [], readonlyPaths: [], ...linux },
  };
}

const placement = { containerId: "c1" };

describe("fitToGuest", () => {
  test("leaves network, IPC, UTS and the host name to the sandbox", () => {
    const namespaces = ["mount", "ipc", "uts", "network", "cgroup", "pid", "time"].map((type) => ({ type }));
    const fitted = fitToGuest(spec({ namespaces }), placement).spec;
    assert.deepEqual(fitted.linux.namespaces, [{ type: "mount" }, { type: "cgroup" }, { type: "pid" }]);
    assert.equal("hostname" in fitted, false);
  });

  test("keeps a user namespace, as a new one: the host's is not here", () => {
    const namespaces = [{ type: "user", path: "/proc/1/ns/user" }];
    const fitted = fitToGuest(spec({ namespaces }), placement).spec;
    assert.deepEqual(fitted.linux.namespaces.at(-1), { type: "user" });
  });

  test("joins the sandbox's pid namespace", () => {
    const fitted = fitToGuest(spec({}), { ...placement, pidNamespacePath: "/proc/1/fd/20" }).spec;
    assert.deepEqual(fitted.linux.namespaces.at(-1), { type: "pid", path: "/proc/1/fd/20" });
  });

  for (const [wanted, path] of [
    [undefined, "/c1"],
    ["/kubepods/pod1/c9", "/kubepods/pod1/c9"],
    ["kubepods-pod1.slice:cri-containerd:c9", "/kubepods-pod1.slice/cri-containerd/c9"],
    ["../../x//y/.", "/x/y"],
  ] as const) {
    test(`makes the cgroup ${wanted} ${path}`, () => {
      const fitted = fitToGuest(spec(wanted === undefined ? {} : { cgroupsPath: wanted }), placement).spec;
      assert.equal(fitted.linux.cgroupsPath, path);
    });
  }

  for (const [key, path] of [
    ["net.ipv4.ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"],
    ["net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"],
    ["vm.max_map_count", "vm/max_map_count"],
  ] as const) {
    test(`sets ${key} for the guest`, () => {
      const { sysctls, spec: fitted } = fitToGuest(spec({ sysctl: { [key]: "1" } }), placement);
      assert.deepEqual([...sysctls], [[path, "1"]]);
      assert.equal("sysctl" in fitted.linux, false);
    });
  }

  for (const key of ["", "hostname", "kernel/../../../etc/passwd", "/etc/passwd", "net. x"]) {
    test(`refuses the kernel parameter "${key}"`, () => {
      assert.throws(() => fitToGuest(spec({ sysctl: { [key]: "1" } }), placement), {
        code: "INVALID_ARGUMENT",
      });
    });
  }
});
