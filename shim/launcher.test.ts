import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

const LAUNCHER = join(dirname(fileURLToPath(import.meta.url)), "launcher.sh");
const FLAGS = ["-namespace", "n", "-address", "/run/c.sock", "-publish-binary", "/usr/bin/containerd"];

let root: string;
let launcher: string;
let bundle: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kata-fs-launcher-"));
  launcher = join(root, "dist/bin/containerd-shim-kata-fs-v2");
  bundle = join(root, "bundles/c1");
  mkdirSync(dirname(launcher), { recursive: true });
  mkdirSync(bundle, { recursive: true });
  copyFileSync(LAUNCHER, launcher);
  chmodSync(launcher, 0o755);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Puts a program in the shim's place. */
function installShim(program: string): void {
  writeFileSync(join(root, "dist/shim.cjs"), program);
}

/** As containerd runs it: in the bundle; both streams are read to their end. */
function run(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; file?: string } = {},
) {
  const { status, stdout, stderr } = spawnSync(options.file ?? launcher, args, {
    cwd: bundle,
    env: { ...process.env, ...options.env },
    input: options.input ?? "",
    encoding: "utf8",
    timeout: 10_000,
  });
  return { status, stdout, stderr };
}

function writeConfig(config: unknown, space?: number): void {
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config, null, space));
}

/** A daemon that answers, tells in a file what it was given, and goes on running for a while. */
const DAEMON = `
  const fs = require("node:fs");
  const stat = fs.readFileSync("/proc/self/stat", "utf8").split(" ");
  fs.writeFileSync("seen", JSON.stringify({
    argv: process.argv.slice(2),
    env: process.env,
    stdin: fs.readFileSync(0, "utf8"),
    pid: process.pid,
    session: Number(stat[5]),
    mountNamespace: fs.readlinkSync("/proc/self/ns/mnt"),
    fd4: fs.existsSync("/proc/self/fd/4") && fs.readlinkSync("/proc/self/fd/4"),
  }));
  fs.writeSync(3, "unix:///run/containerd/s/abc");
  fs.closeSync(3);
  setTimeout(() => fs.writeFileSync("lived-on", ""), 300);
`;

test("start: prints the address while the shim lives on, detached, with its own mounts", () => {
  installShim(DAEMON);
  const args = [...FLAGS, "-id", "c1", "start"];
  const env = { NODE_OPTIONS: "--max-old-space-size=8", NODE_EXTRA_CA_CERTS: "/nowhere" };
  const result = run(args, { env, input: "runtime options" });
  assert.deepEqual(result, { status: 0, stdout: "unix:///run/containerd/s/abc", stderr: "" });
  assert.equal(existsSync(join(bundle, "lived-on")), false, "nobody waited for the daemon");

  const seen = JSON.parse(readFileSync(join(bundle, "seen"), "utf8"));
  assert.deepEqual(seen.argv, args);
  assert.equal(seen.stdin, "runtime options");
  assert.equal(seen.session, seen.pid);
  assert.notEqual(seen.mountNamespace, spawnSync("readlink", ["/proc/self/ns/mnt"]).stdout.toString().trim());
  assert.equal("NODE_OPTIONS" in seen.env || "NODE_EXTRA_CA_CERTS" in seen.env, false);
  assert.equal(seen.env.NODE_NO_WARNINGS, "1");
});

test("start: what containerd 2 is answered is passed on as it is", () => {
  const answer = `{"version":3,"address":"unix:///run/containerd/s/abc","protocol":"ttrpc"}`;
  installShim(`require("node:fs").writeSync(3, ${JSON.stringify(answer)})`);
  assert.deepEqual(run([...FLAGS, "-id", "c1", "start"]), { status: 0, stdout: answer, stderr: "" });
});

test("start: the shim's reason is the error text", () => {
  installShim(`require("node:fs").writeSync(3, "another shim already serves x"); process.exit(1)`);
  const { status, stdout, stderr } = run([...FLAGS, "-id", "c1", "start"]);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.equal(stderr, "containerd-shim-kata-fs-v2: another shim already serves x\n");
});

test("start: a shim that crashes before it can answer shows why, and delete shows it again", () => {
  installShim(`throw new Error("koffi is missing")`);
  const { status, stderr } = run([...FLAGS, "-id", "c1", "start"]);
  assert.equal(status, 1);
  assert.match(stderr, /koffi is missing/);
  assert.match(stderr, /the shim did not start/);

  installShim(`process.stdout.write("response")`);
  const deletion = run([...FLAGS, "-id", "c1", "-bundle", bundle, "delete"]);
  assert.equal(deletion.stdout, "response");
  assert.match(deletion.stderr, /koffi is missing/);
});

const POD_CONTAINER = {
  ociVersion: "1.1.0",
  process: { env: ['X={"io.kubernetes.cri.sandbox-id":"evil"}', '"io.kubernetes.cri.sandbox-id":"evil"'] },
  annotations: {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "pod-1",
    note: ',"io.kubernetes.cri.sandbox-id":"evil",',
  },
};

test("start of a pod's container: the sandbox's address, without the shim", () => {
  installShim(`process.exit(99)`);
  writeConfig(POD_CONTAINER);
  mkdirSync(join(bundle, "../pod-1"));
  writeFileSync(join(bundle, "../pod-1/address"), "unix:///run/containerd/s/pod");
  const result = run([...FLAGS, "-id", "c1", "start"]);
  assert.deepEqual(result, { status: 0, stdout: "unix:///run/containerd/s/pod", stderr: "" });
  assert.equal(readFileSync(join(bundle, "address"), "utf8"), "unix:///run/containerd/s/pod");
  assert.equal(existsSync(join(bundle, "seen")), false);
});

test("the same with containerd's Sandbox API, which has sandboxes elsewhere", () => {
  installShim(`process.exit(99)`);
  bundle = join(root, "io.containerd.runtime.v2.task/k8s.io/c1");
  const sandbox = join(root, "io.containerd.sandbox.controller.v1.shim/k8s.io/pod1");
  for (const directory of [bundle, sandbox]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(sandbox, "address"), "unix:///run/containerd/s/pod1");
  const annotations = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "pod1",
  };
  writeConfig({ ociVersion: "1.0.2", annotations });
  const result = run([...FLAGS, "-id", "c1", "start"]);
  assert.deepEqual(result, { status: 0, stdout: "unix:///run/containerd/s/pod1", stderr: "" });
  assert.equal(readFileSync(join(bundle, "address"), "utf8"), "unix:///run/containerd/s/pod1");
});

for (const [what, config, space] of [
  ["a configuration written in another way", POD_CONTAINER, 2],
  [
    "a sandbox",
    { annotations: { ...POD_CONTAINER.annotations, "io.kubernetes.cri.container-type": "sandbox" } },
    0,
  ],
  ["a container that only quotes the annotations", { process: POD_CONTAINER.process, annotations: {} }, 0],
] as const) {
  test(`start of ${what} is left to the shim`, () => {
    installShim(DAEMON);
    writeConfig(config, space);
    mkdirSync(join(bundle, "../pod-1"));
    writeFileSync(join(bundle, "../pod-1/address"), "unix:///run/containerd/s/pod");
    assert.equal(run([...FLAGS, "-id", "c1", "start"]).stdout, "unix:///run/containerd/s/abc");
  });
}

test("delete: the response that the shim left, without the shim", () => {
  installShim(`process.exit(99)`);
  writeFileSync(join(bundle, "delete-response"), "\x08\x01\x10\x89\x01", "latin1");
  const result = run([...FLAGS, "-id", "c1", "-bundle", bundle, "delete"]);
  assert.deepEqual(result, {
    status: 0,
    stdout: Buffer.from("\x08\x01\x10\x89\x01", "latin1").toString(),
    stderr: "",
  });
});

test("delete: otherwise the shim's own", () => {
  installShim(`process.stdout.write(process.argv.slice(2).join(" "))`);
  const args = [...FLAGS, "-id=c1", "-bundle", bundle, "delete"];
  assert.deepEqual(run(args), { status: 0, stdout: args.join(" "), stderr: "" });
});

test("everything else goes to the shim, and so does its exit status", () => {
  installShim(`process.stdout.write(process.argv.slice(2).join(" ")); process.exit(5)`);
  for (const args of [["-info"], ["-v"], ["-colour", "start"], ["stop"], []]) {
    assert.deepEqual(run(args), { status: 5, stdout: args.join(" "), stderr: "" });
  }
});

test("finds the shim through a symbolic link", () => {
  installShim(`process.stdout.write("found")`);
  const link = join(root, "containerd-shim-kata-fs-v2");
  symlinkSync(launcher, link);
  assert.equal(run(["-v"], { file: link }).stdout, "found");
});

test("names Node when it is missing", () => {
  installShim("");
  const env = { KATA_FS_NODE: "/nowhere/node" };
  const { status, stderr } = run(["-v"], { env });
  assert.equal(status, 1);
  assert.match(stderr, /Node\.js not found \(\/nowhere\/node\); install Node\.js 20 or newer/);
});
