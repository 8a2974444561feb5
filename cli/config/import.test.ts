import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../../configs/index.js";
import { inlineYaml } from "../../configs/inline-yaml.js";
import { parseToml } from "../../configs/toml.js";
import { type Finding, formatFindings, translateKata } from "./import.js";

const GO = `
[hypervisor.qemu]
path = "/opt/kata/bin/qemu-system-x86_64"
kernel = "/opt/kata/share/kata-containers/vmlinux.container"
machine_type = "q35"
enable_annotations = ["enable_iommu", "default_(vcpus|memory)"]
valid_hypervisor_paths = ["/opt/kata/bin/qemu-*"]
kernel_params = "agent.log=debug"
firmware = ""
default_vcpus = 2
default_memory = 2048
shared_fs = "virtio-fs"
virtio_fs_daemon = "/opt/kata/libexec/virtiofsd"
virtio_fs_cache_size = 100
virtio_fs_extra_args = ["--thread-pool-size=1"]
enable_hugepages = true
enable_iommu = false

[factory]
vm_cache_number = 3

[agent.kata]
enable_debug = true
kernel_modules = []
dial_timeout = 45

[runtime]
enable_debug = false
internetworking_model = "tcfilter"
colour = "blue"
`;

const RUST = `
[hypervisor.qemu]
path = "/usr/bin/qemu-system-x86_64"
default_vcpus = 1.5
[hypervisor.qemu.factory]
enable_template = false
[agent.kata]
dial_timeout_ms = 10000
[runtime]
name = "virt_container"
hypervisor_name = "qemu"
log_level = "warn"
[tokio]
threads = 4
`;

const translate = (toml: string) => translateKata(parseToml(toml, "c.toml"), "c.toml");
const outcomes = (findings: readonly Finding[]) =>
  Object.fromEntries(findings.map(({ key, outcome }) => [key.replace(/^.*\./, ""), outcome]));

test("a configuration of the Go runtime", () => {
  const { configuration, findings } = translate(GO);
  assert.deepEqual(configuration, {
    hypervisor: {
      argv: ["/opt/kata/bin/qemu-system-x86_64"],
      kernel: "/opt/kata/share/kata-containers/vmlinux.container",
      kernelParameters: "agent.log=debug",
      cpus: 2,
      memoryMiB: 2048,
    },
    annotations: {
      enable: ["hypervisor\\.(?:enable_iommu)", "hypervisor\\.(?:default_(vcpus|memory))"],
      hypervisorPaths: ["/opt/kata/bin/qemu-*"],
    },
    daemon: { daxWindowMiB: 64 },
    guest: { agentLogLevel: "debug" },
    timeLimits: { bootSeconds: 45 },
  });
  const { enable_hugepages, enable_iommu, virtio_fs_extra_args, internetworking_model, ...rest } =
    outcomes(findings);
  assert.equal(enable_hugepages, "none");
  assert.equal(enable_iommu, "settled", "off is what kata-fs does");
  assert.equal(virtio_fs_extra_args, "none");
  assert.equal(internetworking_model, "none");
  assert.equal(rest["vm_cache_number"], "none");
  assert.equal(rest["colour"], "unknown");
  assert.equal(rest["firmware"], "settled");
  const keys = GO.split("\n").filter((line) => line.includes(" = "));
  assert.equal(findings.length, keys.length, "no key is passed over");
});

test("a configuration of runtime-rs", () => {
  const { configuration, findings } = translate(RUST);
  assert.deepEqual(configuration, {
    hypervisor: { argv: ["/usr/bin/qemu-system-x86_64"], cpus: 2 },
    timeLimits: { bootSeconds: 10 },
    runtime: { logLevel: "warn" },
  });
  assert.equal(outcomes(findings)["threads"], "unknown");
});

test("the result is a configuration of ours", () => {
  for (const toml of [GO, RUST]) {
    const { configuration } = translate(toml);
    const yaml = Object.entries(configuration).map(([section, keys]) => `${section}: ${inlineYaml(keys)}\n`);
    assert.doesNotThrow(() => parseConfiguration(yaml.join(""), "imported"));
  }
});

test("the report names each key with what became of it", () => {
  const report = formatFindings(translate(GO).findings);
  assert.match(report, /^Taken over \(\d+\):$/m);
  assert.match(report, /^ {2}hypervisor\.qemu\.default_memory = 2048: hypervisor\.memoryMiB$/m);
  assert.match(
    report,
    /^ {2}hypervisor\.qemu\.virtio_fs_cache_size = 100: daemon\.daxWindowMiB; rounded down/m,
  );
  assert.match(report, /^ {2}runtime\.colour = "blue": no such key is known; the nearest is \w+$/m);
  assert.match(
    report,
    /Without counterpart \(\d+\):\n(.*\n)* {2}hypervisor\.qemu\.enable_hugepages = true: /,
  );
});

test("what is no configuration for QEMU is refused", () => {
  assert.throws(() => translate("[hypervisor.clh]\npath = '/x'\n"), {
    message: "c.toml: [hypervisor.clh]; needed: a configuration.toml of Kata Containers for QEMU",
  });
  assert.throws(() => translate("a = 1\n"), /^ConfigError: c\.toml: no table \[hypervisor\.qemu\]; needed/);
  assert.throws(() => translate("[a\n"), /^ConfigError: c\.toml:1: /);
});
