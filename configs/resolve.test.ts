import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NO_OPTIONS, type RuntimeOptions, resolveConfiguration } from "./resolve.js";

test("file, drop-in, containerd's options, annotation: each goes over the ones before", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "config.yaml");
  mkdirSync(join(folder, "config.d"));
  writeFileSync(
    file,
    'hypervisor: { cpus: 1, memoryMiB: 128, kernelParameters: "a" }\nannotations: { enable: [".*"] }\n',
  );
  const dropIn = join(folder, "config.d/1.yaml");
  writeFileSync(dropIn, "hypervisor: { memoryMiB: 256, firmware: x.rom, kernelParameters: b }\n");
  const { hypervisor } = await resolveConfiguration({
    env: { KATA_FS_CONFIG: file },
    options: { configPath: "", configBody: '[hypervisor]\nfirmware = "y.rom"\nkernelParameters = "c"\n' },
    annotations: { "io.katacontainers.config.hypervisor.kernel_params": "d" },
  });
  assert.deepEqual(hypervisor.cpus, { value: 1, origin: `${file}:1` });
  assert.deepEqual(hypervisor.memoryMiB, { value: 256, origin: `${dropIn}:1` });
  assert.deepEqual(hypervisor.firmware, {
    value: "y.rom",
    origin: "the runtime's options in containerd's configuration",
  });
  assert.deepEqual(hypervisor.kernelParameters, {
    value: "c d",
    origin: "annotation io.katacontainers.config.hypervisor.kernel_params",
  });
});

test("containerd's options table: its own fields are left out, ours are checked", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kata-fs-test-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "config.yaml");
  writeFileSync(file, "");
  const resolveWith = (options: Partial<RuntimeOptions>) =>
    resolveConfiguration({
      env: { KATA_FS_CONFIG: "/absent" },
      options: { ...NO_OPTIONS, configPath: file, ...options },
      annotations: {},
    });
  const { hypervisor } = await resolveWith({
    configBody:
      'ConfigPath = ""\nTypeUrl = "x"\n\n[hypervisor]\n  cpus = 2\n  [hypervisor.env]\n    A = "1"\n',
  });
  assert.equal(hypervisor.cpus.value, 2);
  assert.deepEqual(hypervisor.env.value, { A: "1" });
  await assert.rejects(resolveWith({ configBody: "SystemdCgroup = true\n" }), {
    message: /^the runtime's options in containerd's configuration: unknown key SystemdCgroup; needed: /,
  });
  await assert.rejects(resolveWith({ configBody: "[hypervisor]\ncpus = \n" }), {
    message: /^the runtime's options in containerd's configuration:2: .+/,
  });
});
