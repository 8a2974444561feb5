import assert from "node:assert/strict";
import { test } from "node:test";
import { PRESET_SHARE_POLICY } from "../passthrough/share-policy.js";
import type { DeviceOptions } from "./device-options.js";
import { OptionsError } from "./error.js";
import { type FsdOptions, parseOptions } from "./parse.js";

const REQUIRED = ["--socket-path=/s", "--shared-dir=/d"];

function parsed(...argv: string[]): FsdOptions {
  const action = parseOptions(argv);
  assert.ok(typeof action !== "string");
  return action;
}

/** The only device, without what every device has. */
function device(...argv: string[]): Partial<DeviceOptions> {
  const { devices } = parsed(...REQUIRED, ...argv);
  assert.equal(devices.length, 1);
  const preset: Record<string, unknown> = { ...parsed(...REQUIRED).devices[0] };
  return Object.fromEntries(
    Object.entries(devices[0] ?? {}).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(preset[key]),
    ),
  );
}

function refused(message: RegExp, ...argv: string[]): void {
  assert.throws(
    () => parseOptions(argv),
    (error) => error instanceof OptionsError && message.test(error.message),
    argv.join(" "),
  );
}

test("socket and directory suffice; all else is as virtiofsd presets it", () => {
  assert.deepEqual(parsed(...REQUIRED), {
    devices: [
      {
        ...PRESET_SHARE_POLICY,
        socket: { path: "/s", group: undefined },
        sharedDir: "/d",
        tag: undefined,
        requestQueues: 1,
        overlayBrokerFd: undefined,
        daxWindowBytes: 256 * 1024 * 1024,
      },
    ],
    sandbox: { mode: "namespace", seccomp: "kill", capabilities: [] },
    descriptorsMax: undefined,
    metricsSocket: undefined,
    eventsSocket: undefined,
    logLevel: "info",
    syslog: false,
    longCallsMax: 4,
  });
});

test("what Kata's runtimes say", () => {
  // src/runtime, with its preset extra arguments, and src/runtime-rs with those of a guest with SELinux.
  const go = parsed(
    ...["--syslog", "--cache=auto", "--shared-dir=/run/kata-containers/shared/sandboxes/id/shared", "--fd=3"],
    ...["--inode-file-handles=prefer", "--thread-pool-size=1", "--announce-submounts"],
  );
  assert.deepEqual(go.devices[0]?.socket, { fd: 3 });
  assert.equal(go.devices[0]?.announceSubmounts, true);
  assert.deepEqual([go.syslog, go.longCallsMax], [true, 1]);
  const rust = parsed(
    ...[
      "--socket-path",
      "/s",
      "--shared-dir",
      "/d",
      "--cache",
      "auto",
      "--sandbox",
      "none",
      "--seccomp",
      "none",
    ],
    ...["--inode-file-handles", "prefer", "--thread-pool-size=1", "--announce-submounts", "--xattr"],
  );
  assert.deepEqual([rust.sandbox.mode, rust.sandbox.seccomp], ["none", "none"]);
  assert.equal(rust.devices[0]?.xattr, true);
});

test("what libvirt says, to daemons that take options one by one, and to others", () => {
  const separate = parsed("--fd=33", "--shared-dir", "/srv", "--readonly", "--log-level", "debug");
  assert.equal(separate.devices[0]?.readOnly, true);
  assert.equal(separate.logLevel, "debug");
  const combined = parsed(
    "--fd=33",
    "-o",
    "source=/a,,b,cache=none,sandbox=chroot,xattr,no_flock,posix_lock",
    "-d",
  );
  assert.equal(combined.devices[0]?.sharedDir, "/a,b");
  assert.equal(combined.devices[0]?.cache, "never");
  assert.equal(combined.devices[0]?.xattr, true);
  assert.deepEqual([combined.devices[0]?.posixLock, combined.devices[0]?.flock], [true, false]);
  assert.deepEqual([combined.sandbox.mode, combined.logLevel], ["chroot", "debug"]);
});

test("-o is refused by the name of what it holds and we do not have", () => {
  refused(/^-o timeout=5: not supported$/, ...REQUIRED, "-o", "xattr,timeout=5");
  refused(/^-o allow_root: not supported$/, ...REQUIRED, "-o", "allow_root");
  refused(/^--cache=sometimes: possible are/, ...REQUIRED, "-o", "cache=sometimes");
});

test("switches and modes of a device", () => {
  const cases: [argv: string[], expected: Partial<DeviceOptions>][] = [
    [["--readonly"], { readOnly: true }],
    [["--cache", "metadata"], { cache: "metadata" }],
    [["--writeback"], { writeback: true }],
    [["--allow-mmap"], { allowMmap: true }],
    [["--allow-direct-io"], { allowDirectIo: true }],
    [["--no-readdirplus"], { readdirplus: false }],
    [["--no-announce-submounts"], { announceSubmounts: false }],
    [["--no-announce-submounts", "--announce-submounts"], {}],
    [["--xattr"], { xattr: true }],
    [["--posix-acl"], { posixAcl: "always", xattr: true }],
    [["--posix-acl=auto"], { posixAcl: "auto", xattr: true }],
    [["--posix-acl=never"], {}],
    [["--security-label"], { securityLabel: "always", xattr: true }],
    [["--killpriv-v2"], { killprivV2: true }],
    [["--killpriv-v2", "--no-killpriv-v2"], {}],
    [["--inode-file-handles=fallback"], {}],
    [["--inode-file-handles=mandatory"], { inodeFileHandles: "mandatory" }],
    [["--preserve-noatime"], { preserveNoatime: true }],
    [["--no-posix-lock"], { posixLock: false }],
    [["--no-flock"], { flock: false }],
    [["--tag", "x".repeat(36)], { tag: "x".repeat(36) }],
    [["--socket-group", "kvm"], { socket: { path: "/s", group: "kvm" } }],
    [["--request-queues", "4"], { requestQueues: 4 }],
    [
      ["--dax", "inode", "--dax-window", "8M", "--dax-threshold=0"],
      { dax: "inode", daxWindowBytes: 2 ** 23, daxThresholdBytes: 0 },
    ],
    [["--negative-timeout=5"], { negativeSeconds: 5 }],
  ];
  for (const [argv, expected] of cases) assert.deepEqual(device(...argv), expected, argv.join(" "));
  assert.equal(device("--xattrmap", ":map::user.virtiofs.:").xattr, true);
  const { devices } = parsed(...REQUIRED, "--translate-uid", "map:0:1000:1", "--translate-gid=map:0:2000:1");
  assert.deepEqual([devices[0]?.uids.toHost(0), devices[0]?.gids.toHost(0)], [1000, 2000]);
});

test("options of the whole daemon may stand beside any device", () => {
  const { devices, ...daemon } = parsed(
    ...[
      "--socket-path=/a",
      "--shared-dir=/a",
      "--log-level",
      "trace",
      "--device",
      "--socket-path=/b",
      "--shared-dir=/b",
    ],
    ...[
      "--readonly",
      "--metrics-socket",
      "/m",
      "--rlimit-nofile=0",
      "--seccomp=log",
      "--modcaps=+SYS_ADMIN:-cap_mknod",
    ],
    ...["--thread-pool-size", "64"],
  );
  assert.deepEqual(
    devices.map(({ sharedDir, readOnly }) => [sharedDir, readOnly]),
    [
      ["/a", false],
      ["/b", true],
    ],
  );
  assert.deepEqual(daemon, {
    sandbox: {
      mode: "namespace",
      seccomp: "log",
      capabilities: [
        { capability: "SYS_ADMIN", isKept: true },
        { capability: "MKNOD", isKept: false },
      ],
    },
    descriptorsMax: 0,
    metricsSocket: "/m",
    eventsSocket: undefined,
    logLevel: "trace",
    syslog: false,
    longCallsMax: 64,
  });
});

test("what is asked for instead of serving needs nothing else", () => {
  assert.equal(parseOptions(["--help"]), "help");
  assert.equal(parseOptions(["-h"]), "help");
  assert.equal(parseOptions(["--socket-path=/s", "-V"]), "version");
  assert.equal(parseOptions(["--print-capabilities"]), "capabilities");
});

test("what cannot be followed is refused", () => {
  refused(/^--socket-path, or --fd, is missing$/, "--shared-dir=/d");
  refused(/^--shared-dir is missing$/, "--socket-path=/s");
  refused(/^--fd and --socket-path are two ways/, ...REQUIRED, "--fd=3");
  refused(/^--socket-group is for a --socket-path/, "--fd=3", "--shared-dir=/d", "--socket-group=kvm");
  refused(/^--fd=x: a whole number from 0/, "--fd=x", "--shared-dir=/d");
  refused(/^--tag=ü{19}: 38 bytes; 1 to 36/, ...REQUIRED, `--tag=${"ü".repeat(19)}`);
  refused(/^--tag=: 0 bytes/, ...REQUIRED, "--tag=");
  refused(/^--posix-acl=auto: the ids in ACLs/, ...REQUIRED, "--posix-acl=auto", "--translate-gid=map:0:1:1");
  refused(/^--posix-acl=yes: possible are never, auto, always$/, ...REQUIRED, "--posix-acl=yes");
  refused(/^--uid-map is not supported: /, ...REQUIRED, "--uid-map=:0:0:1:");
  refused(/^--gid-map is not supported: /, ...REQUIRED, "--gid-map", ":0:0:1:");
  refused(/^--modcaps=sys_admin: capabilities with/, ...REQUIRED, "--modcaps=sys_admin");
  refused(/^--xattrmap: /, ...REQUIRED, "--xattrmap=nonsense");
  refused(/^--dax=always needs --readonly/, ...REQUIRED, "--dax=always");
  refused(/^--dax-window=3M: a power of two/, ...REQUIRED, "--dax-window=3M");
  refused(/^--dax-window=1G: a power of two/, ...REQUIRED, "--dax-window=1G");
  refused(/^--dax-threshold=1T: not a size/, ...REQUIRED, "--dax-threshold=1T");
  refused(/^--request-queues=0: /, ...REQUIRED, "--request-queues=0");
  refused(/^--migration-mode is not supported: /, ...REQUIRED, "--migration-mode=find-paths");
  refused(
    /^two devices have the tag t$/,
    ...REQUIRED,
    "--tag=t",
    "--device",
    "--socket-path=/t",
    "--shared-dir=/d",
    "--tag=t",
  );
  refused(/^two devices have the socket \/s$/, ...REQUIRED, "--device", ...REQUIRED);
});
