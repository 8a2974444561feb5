import assert from "node:assert/strict";
import { test } from "node:test";
import { agent } from "../../../proto/index.js";
import { ShimError, StatusCode } from "../../error.js";
import { processMessage, specMessage } from "./spec-message.js";

/** As the agent receives it. */
function received(config: unknown): agent.Spec {
  return agent.Spec.decode(agent.Spec.encode(specMessage(config)).finish());
}

test("a process keeps what it may do and where", () => {
  const { Process } = received({
    process: {
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      user: { uid: 1000, gid: 100, additionalGids: [1, 2], username: "u" },
      args: ["sh", "-c", "true"],
      env: ["A=1"],
      cwd: "/work",
      capabilities: { bounding: ["CAP_CHOWN"], effective: ["CAP_KILL"] },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 512 }],
      noNewPrivileges: true,
      oomScoreAdj: -998,
    },
  });
  assert(Process);
  assert.deepEqual(Process.Args, ["sh", "-c", "true"]);
  assert.equal(Process.Terminal, true);
  assert.deepEqual([Process.ConsoleSize?.Height, Process.ConsoleSize?.Width], [24, 80]);
  assert.deepEqual([Process.User?.UID, Process.User?.GID, Process.User?.AdditionalGids], [1000, 100, [1, 2]]);
  assert.deepEqual(Process.Capabilities?.Bounding, ["CAP_CHOWN"]);
  assert.deepEqual(Process.Capabilities?.Effective, ["CAP_KILL"]);
  assert.deepEqual([Process.Rlimits[0]?.Hard, Process.Rlimits[0]?.Soft], [1024, 512]);
  assert.deepEqual([Process.NoNewPrivileges, Process.OOMScoreAdj, Process.Cwd], [true, -998, "/work"]);
});

test("what names things of the host stays on the host", () => {
  const { Linux, Hooks, Process } = received({
    hooks: { prestart: [{ path: "/usr/bin/hook" }] },
    process: { args: ["sh"], apparmorProfile: "p", selinuxLabel: "l" },
    linux: {
      namespaces: [
        { type: "pid", path: "/proc/1/ns/pid" },
        { type: "network", path: "/run/netns/x" },
        { type: "cgroup" },
        { type: "time" },
        { type: "ipc", path: "/proc/1/ns/ipc" },
        { type: "mount" },
      ],
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        blockIO: { weight: 10 },
        network: { classID: 1 },
        cpu: { shares: 512, quota: -1, cpus: "0-3", mems: "0" },
        memory: { limit: 1 << 20 },
        pids: { limit: 100 },
      },
    },
  });
  assert.equal(Hooks, null);
  assert.equal(Process?.ApparmorProfile, "");
  assert.equal(Process?.SelinuxLabel, "");
  assert.deepEqual(
    Linux?.Namespaces.map(({ Type, Path }) => [Type, Path]),
    [
      ["ipc", ""],
      ["mount", ""],
    ],
  );
  const resources = Linux?.Resources;
  assert.deepEqual(resources?.Devices, []);
  assert.deepEqual([resources?.CPU?.Cpus, resources?.CPU?.Mems], ["", ""]);
  assert.deepEqual([resources?.CPU?.Shares, resources?.CPU?.Quota], [512, -1]);
  assert.deepEqual([resources?.Memory?.Limit, resources?.Pids?.Limit], [1 << 20, 100]);
});

test("numbers without a limit stay without one", () => {
  // 2^64 - 1 in JSON becomes 2^64 when it is parsed: one more than fits.
  const config = JSON.parse(
    '{"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 18446744073709551615, "soft": 18446744073709551615}]}}',
  );
  const [limit] = received(config).Process?.Rlimits ?? [];
  assert(Number(limit?.Hard) > 2 ** 63 && Number(limit?.Soft) > 2 ** 63, `${limit?.Hard} ${limit?.Soft}`);
});

test("seccomp's rules come through", () => {
  const { Linux } = received({
    linux: {
      seccomp: {
        defaultAction: "SCMP_ACT_ERRNO",
        architectures: ["SCMP_ARCH_X86_64"],
        syscalls: [
          {
            names: ["personality"],
            action: "SCMP_ACT_ALLOW",
            args: [{ index: 0, value: 131072, valueTwo: 0, op: "SCMP_CMP_EQ" }],
          },
          { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
        ],
      },
    },
  });
  const [first, second] = Linux?.Seccomp?.Syscalls ?? [];
  assert.deepEqual(
    [first?.Names, first?.Args[0]?.Value, first?.Args[0]?.Op],
    [["personality"], 131072, "SCMP_CMP_EQ"],
  );
  assert.equal(second?.errnoret, 38);
});

test("absent parts read as empty, and null as Go writes it does so, too", () => {
  assert.deepEqual(received({ process: { args: null, user: null }, mounts: null, linux: null }).Mounts, []);
  assert.equal(received({}).Linux?.Seccomp, null);
});

for (const [what, config, message] of [
  ["no object", [], /config\.json is \[\]; needed: an object/],
  ["a number for a string", { process: { cwd: 7 } }, /config\.json\.process\.cwd is 7; needed: a string/],
  ["a string for a list", { process: { args: "sh" } }, /process\.args is "sh"; needed: a list of strings/],
  [
    "a fraction",
    { linux: { resources: { pids: { limit: 1.5 } } } },
    /pids\.limit is 1\.5; needed: a whole number/,
  ],
  ["a list in a list", { mounts: [[]] }, /config\.json\.mounts\[0\] is \[\]; needed: an object/],
] as const) {
  test(`a configuration with ${what} is refused with its place`, () => {
    assert.throws(
      () => specMessage(config),
      (error) =>
        error instanceof ShimError &&
        error.code === StatusCode.INVALID_ARGUMENT &&
        message.test(error.message),
    );
  });
}

test("a process of its own is refused with its place, too", () => {
  assert.throws(() => processMessage({ env: [1] }), /process\.env is \[1\]; needed: a list of strings/);
});
