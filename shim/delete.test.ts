import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { containerd } from "../proto/index.js";
import { socketPath } from "./address.js";

const HERE = dirname(fileURLToPath(import.meta.url));

let bundle: string;
let socket: string;

beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "kata-fs delete-"));
  mkdirSync(join(bundle, "rootfs"));
  writeConfig({});
  writeFileSync(join(bundle, "none.yaml"), "{}");
  socket = socketPath("/run/test.sock", "n", "c1");
  mkdirSync(dirname(socket), { recursive: true });
  writeFileSync(socket, "");
});
afterEach(() => {
  spawnSync("umount", ["-l", join(bundle, "rootfs")]);
  rmSync(bundle, { recursive: true, force: true });
  rmSync(socket, { force: true });
});

function writeConfig(annotations: Record<string, string>): void {
  writeFileSync(join(bundle, "config.json"), JSON.stringify({ annotations }));
}

/** Runs the action as a process of its own, with `cleanUp` as the body of the sandbox's clean-up. */
function runDelete(cleanUp = "", configFile = join(bundle, "none.yaml")) {
  const program = join(bundle, "delete.mts");
  writeFileSync(
    program,
    `import { deleteTask } from ${JSON.stringify(join(HERE, "delete.ts"))};
     import { writeFileSync } from "node:fs";
     const args = { action: "delete", id: "c1", namespace: "n", address: "/run/test.sock", publishBinary: "", bundle: "", debug: false } as const;
     process.exit(await deleteTask(args, process.cwd(), {
       cleanUpSandbox: async ({ address, namespace, id }) => {
         writeFileSync("cleaned-up", [address, namespace, id].join(" "));
         ${cleanUp}
       },
       runLastHooks: async (...of) => writeFileSync("last-hooks", of.join(" ")),
     }));`,
  );
  const tsx = import.meta.resolve("tsx");
  const result = spawnSync(process.execPath, ["--import", tsx, program], {
    cwd: bundle,
    timeout: 20_000,
    env: { ...process.env, KATA_FS_CONFIG: configFile },
  });
  return {
    status: result.status,
    response: containerd.DeleteResponse.decode(result.stdout),
    warnings: result.stderr.toString(),
  };
}

const isMounted = () =>
  readFileSync("/proc/self/mountinfo", "utf8").includes(join(bundle, "rootfs").replace(" ", "\\040"));

test("ends shim, sandbox, socket and mounts, and answers 137", async () => {
  const shim = spawn("sleep", ["30"]);
  const exited = new Promise((resolve) => shim.once("exit", (_, signal) => resolve(signal)));
  const startTime = readFileSync(`/proc/${shim.pid}/stat`, "utf8").split(" ")[21];
  writeFileSync(join(bundle, "shim.pid"), `${shim.pid} ${startTime}`);
  for (let i = 0; i < 2; i++) spawnSync("mount", ["-t", "tmpfs", "none", join(bundle, "rootfs")]);
  assert.equal(isMounted(), true);

  const { status, response, warnings } = runDelete();
  assert.equal(warnings, "");
  assert.equal(status, 0);
  assert.equal(response.exit_status, 137);
  assert.ok(Math.abs(response.exited_at.seconds - Date.now() / 1_000) < 10);
  assert.equal(await exited, "SIGKILL");
  assert.equal(readFileSync(join(bundle, "cleaned-up"), "utf8"), "/run/test.sock n c1");
  assert.equal(readFileSync(join(bundle, "last-hooks"), "utf8"), `c1 ${bundle}`);
  assert.equal(existsSync(socket), false);
  assert.equal(isMounted(), false);

  assert.equal(runDelete().status, 0, "once more is harmless");
});

test("a pod's container leaves the sandbox alone", () => {
  writeConfig({ "io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "pod" });
  const { status, response } = runDelete();
  assert.deepEqual([status, response.exit_status], [0, 137]);
  assert.equal(existsSync(join(bundle, "cleaned-up")), false);
  assert.equal(existsSync(socket), true);
});

test("a sandbox whose bundle cannot be read any more is cleaned up all the same", () => {
  rmSync(join(bundle, "config.json"));
  const { status, response, warnings } = runDelete();
  assert.deepEqual([status, response.exit_status], [0, 137]);
  assert.match(warnings, /config\.json/);
  assert.equal(existsSync(join(bundle, "cleaned-up")), true);
  assert.equal(existsSync(socket), false);
});

test("answers even when a step fails, and reports it", () => {
  const { status, response, warnings } = runDelete(`throw new Error("QEMU does not end")`);
  assert.deepEqual([status, response.exit_status], [0, 137]);
  assert.match(warnings, /the sandbox is not cleaned up: QEMU does not end/);
  assert.equal(existsSync(socket), false);
});

for (const [what, config, limitMs] of [
  ["the default's", "{}", 2000],
  ["the configuration's", "timeLimits: { deleteSeconds: 0.5 }", 500],
  ["the default's, when the configuration is broken,", "timeLimits: 3", 2000],
] as const) {
  test(`answers in ${what} time when a step hangs`, () => {
    const file = join(bundle, "kata-fs.yaml");
    writeFileSync(file, config);
    const { status, response, warnings } = runDelete(
      "await new Promise((resolve) => setTimeout(resolve, 10_000));",
      file,
    );
    assert.deepEqual([status, response.exit_status], [0, 137]);
    assert.match(warnings, new RegExp(`not complete after ${limitMs} ms`));
    assert.equal(/configuration is not read/.test(warnings), what.includes("broken"));
  });
}
