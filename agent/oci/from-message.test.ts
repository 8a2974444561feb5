import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { agent } from "../../proto/index.js";
import { toRuntimeProcess, toRuntimeResources, toRuntimeSpec } from "./from-message.js";
import type * as message from "./message.js";
import { stringifySpec } from "./runtime-spec.js";

const minimal: message.Spec = { Root: { Path: "/rootfs" }, Process: { Args: ["sh"] } };

/** As it comes over the wire: absent fields have their defaults. */
function decoded(spec: message.Spec): message.Spec {
  return agent.Spec.decode(agent.Spec.encode(spec).finish());
}

describe("toRuntimeSpec", () => {
  test("fills in what runtimes insist on", () => {
    assert.deepEqual(toRuntimeSpec(decoded(minimal)), {
      ociVersion: "1.0.2",
      process: {
        terminal: false,
        user: { uid: 0, gid: 0, additionalGids: [] },
        args: ["sh"],
        env: [],
        cwd: "/",
        rlimits: [],
        noNewPrivileges: false,
      },
      root: { path: "/rootfs", readonly: false },
      mounts: [],
      annotations: {},
      linux: { namespaces: [], devices: [], maskedPaths: [], readonlyPaths: [] },
    });
  });

  test("carries over everything that a guest can honour", () => {
    const spec = toRuntimeSpec(
      decoded({
        Version: "1.1.0",
        Process: {
          Terminal: true,
          ConsoleSize: { Height: 24, Width: 80 },
          User: { UID: 1000, GID: 1001, AdditionalGids: [10, 20], Username: "ignored" },
          Args: ["sh", "-c", "true"],
          Env: ["A=b"],
          Cwd: "/work",
          Capabilities: { Bounding: ["CAP_CHOWN"], Effective: ["CAP_CHOWN"], Permitted: ["CAP_CHOWN"] },
          Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: 2048, Soft: 1024 }],
          NoNewPrivileges: true,
          ApparmorProfile: "default",
          OOMScoreAdj: -998,
          SelinuxLabel: "label",
        },
        Root: { Path: "/rootfs", Readonly: true },
        Hostname: "host",
        Mounts: [{ destination: "/proc", source: "proc", type: "proc", options: ["nosuid"] }],
        Hooks: { Prestart: [{ Path: "/bin/host-hook" }] },
        Annotations: { key: "value" },
        Linux: {
          UIDMappings: [{ HostID: 100000, ContainerID: 0, Size: 65536 }],
          GIDMappings: [{ HostID: 100000, ContainerID: 0, Size: 65536 }],
          Sysctl: { "net.ipv4.ip_forward": "1" },
          CgroupsPath: "/kubepods/pod1/c1",
          Namespaces: [{ Type: "mount" }, { Type: "user", Path: "/proc/1/ns/user" }],
          Devices: [{ Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: 0o666, UID: 1, GID: 2 }],
          RootfsPropagation: "rslave",
          MaskedPaths: ["/proc/kcore"],
          ReadonlyPaths: ["/proc/sys"],
          MountLabel: "mount-label",
        },
      }),
    );
    assert.deepEqual(spec, {
      ociVersion: "1.1.0",
      process: {
        terminal: true,
        consoleSize: { height: 24, width: 80 },
        user: { uid: 1000, gid: 1001, additionalGids: [10, 20] },
        args: ["sh", "-c", "true"],
        env: ["A=b"],
        cwd: "/work",
        capabilities: {
          bounding: ["CAP_CHOWN"],
          effective: ["CAP_CHOWN"],
          inheritable: [],
          permitted: ["CAP_CHOWN"],
          ambient: [],
        },
        rlimits: [{ type: "RLIMIT_NOFILE", hard: 2048, soft: 1024 }],
        noNewPrivileges: true,
        apparmorProfile: "default",
        oomScoreAdj: -998,
        selinuxLabel: "label",
      },
      root: { path: "/rootfs", readonly: true },
      hostname: "host",
      mounts: [{ destination: "/proc", source: "proc", type: "proc", options: ["nosuid"] }],
      annotations: { key: "value" },
      linux: {
        uidMappings: [{ hostID: 100000, containerID: 0, size: 65536 }],
        gidMappings: [{ hostID: 100000, containerID: 0, size: 65536 }],
        sysctl: { "net.ipv4.ip_forward": "1" },
        cgroupsPath: "/kubepods/pod1/c1",
        namespaces: [{ type: "mount" }, { type: "user", path: "/proc/1/ns/user" }],
        devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229, fileMode: 0o666, uid: 1, gid: 2 }],
        rootfsPropagation: "rslave",
        maskedPaths: ["/proc/kcore"],
        readonlyPaths: ["/proc/sys"],
        mountLabel: "mount-label",
      },
    });
  });

  test("keeps what a system call filter returns apart from what it does not say", () => {
    const { linux } = toRuntimeSpec(
      decoded({
        ...minimal,
        Linux: {
          Seccomp: {
            DefaultAction: "SCMP_ACT_ERRNO",
            Architectures: ["SCMP_ARCH_X86_64"],
            Syscalls: [
              { Names: ["clone3"], Action: "SCMP_ACT_ERRNO", errnoret: 0 },
              {
                Names: ["personality"],
                Action: "SCMP_ACT_ALLOW",
                Args: [{ Index: 0, Value: 0xffff_ffff, ValueTwo: 8, Op: "SCMP_CMP_MASKED_EQ" }],
              },
            ],
          },
        },
      }),
    );
    assert.deepEqual(linux.seccomp?.syscalls, [
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 0, args: [] },
      {
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: 0xffff_ffff, valueTwo: 8, op: "SCMP_CMP_MASKED_EQ" }],
      },
    ]);
  });

  const incomplete: Record<string, message.Spec> = {
    "a root": { Process: { Args: ["sh"] } },
    "a process": { Root: { Path: "/rootfs" } },
    arguments: { Root: { Path: "/rootfs" }, Process: {} },
  };
  for (const [what, spec] of Object.entries(incomplete)) {
    test(`refuses a spec without ${what}`, () => {
      assert.throws(() => toRuntimeSpec(decoded(spec)), { code: "INVALID_ARGUMENT" });
    });
  }
});

describe("toRuntimeProcess", () => {
  test("means the largest number by a limit that is unlimited", () => {
    // RLIM_INFINITY as runtimes send it: exactly, or as the largest number of JavaScript that fits the field.
    const sent = agent.Process.encode({
      Args: ["sh"],
      Rlimits: [{ Type: "RLIMIT_CORE", Hard: -1, Soft: 2 ** 64 - 2 ** 11 }],
    });
    const process = toRuntimeProcess(agent.Process.decode(sent.finish()));
    assert.deepEqual(process.rlimits, [{ type: "RLIMIT_CORE", hard: 2n ** 64n - 1n, soft: 2n ** 64n - 1n }]);
    assert.match(stringifySpec(process), /"hard":18446744073709551615,"soft":18446744073709551615/);
  });
});

describe("toRuntimeResources", () => {
  test("takes zero as not given", () => {
    const resources = toRuntimeResources({
      Memory: { Limit: 64 * 1024 * 1024, Swap: -1, Swappiness: 0 },
      CPU: { Shares: 512, Quota: 0, Cpus: "" },
      Pids: { Limit: 0 },
    });
    assert.deepEqual(resources, { memory: { limit: 64 * 1024 * 1024, swap: -1 }, cpu: { shares: 512 } });
  });

  test("means all devices of a type by a rule without numbers", () => {
    const { devices } = toRuntimeResources({
      Devices: [
        { Allow: false, Access: "rwm" },
        { Allow: true, Type: "c", Major: 1, Minor: 3, Access: "rwm" },
        { Allow: true, Type: "c", Major: 136, Minor: -1, Access: "rw" },
      ],
    });
    assert.deepEqual(devices, [
      { allow: false, access: "rwm" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
      { allow: true, type: "c", major: 136, access: "rw" },
    ]);
  });

  test("never writes a number that its type cannot hold", () => {
    const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(Number);
    fc.assert(
      fc.property(int64, (limit) => {
        const text = stringifySpec(toRuntimeResources({ Memory: { Limit: limit } }));
        const written = BigInt(/"limit":(-?\d+)/.exec(text)?.[1] ?? 0);
        assert.equal(BigInt.asIntN(64, written), written);
        assert.equal(Number(written), limit);
      }),
    );
  });
});
