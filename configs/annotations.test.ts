import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { ANNOTATION_PREFIX, ANNOTATION_RULES, annotationSettings } from "./annotations.js";
import { parseConfiguration, parseSettings } from "./parse.js";
import { configurationOf, effectiveSettings } from "./settings.js";

const BASE = `
hypervisor: { kernelParameters: "quiet" }
annotations:
  enable: ["hypervisor\\\\..*", "runtime\\\\.sandbox_cgroup_only"]
  ignore: ["hypervisor\\\\.block_device_.*"]
  hypervisorPaths: ["/opt/qemu-*/qemu"]
  kernelPaths: ["/boot/guest/*"]
`;

/** The configuration with one annotation over {@link BASE}. */
function withAnnotation(name: string, text: string, base = BASE) {
  const current = parseConfiguration(base, "base");
  const layers = annotationSettings({ [ANNOTATION_PREFIX + name]: text }, current);
  return configurationOf(effectiveSettings([parseSettings(base, "base"), ...layers]));
}

function refused(name: string, text: string, expected: RegExp, base = BASE) {
  assert.throws(
    () => withAnnotation(name, text, base),
    (error: Error) => {
      assert.equal(error.name, "ConfigError");
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );
}

test("annotations set the keys that stand for them", () => {
  assert.equal(withAnnotation("hypervisor.default_vcpus", "3").hypervisor.cpus, 3);
  assert.equal(withAnnotation("hypervisor.default_memory", "512").hypervisor.memoryMiB, 512);
  assert.equal(
    withAnnotation("hypervisor.kernel_params", "a=1 b").hypervisor.kernelParameters,
    "quiet a=1 b",
  );
  assert.deepEqual(withAnnotation("hypervisor.path", "/opt/qemu-12/qemu").hypervisor.argv, [
    "/opt/qemu-12/qemu",
  ]);
  assert.equal(
    withAnnotation("hypervisor.kernel", "/boot/guest/vmlinux").hypervisor.kernel,
    "/boot/guest/vmlinux",
  );
  assert.equal(withAnnotation("hypervisor.virtio_fs_cache_size", "64").daemon.daxWindowMiB, 64);
  assert.equal(withAnnotation("hypervisor.virtio_fs_cache_size", "0").daemon.dax, false);
});

test("processors are counted as Kata counts them", () => {
  const cpus = (text: string) => withAnnotation("hypervisor.default_vcpus", text).hypervisor.cpus;
  assert.equal(cpus("1.2"), 2);
  assert.equal(cpus("0"), 1);
  assert.equal(cpus("-1"), availableParallelism());
});

test("every rule is for keys that exist, and is refused unless it is enabled", () => {
  for (const name of Object.keys(ANNOTATION_RULES)) {
    refused(name, "1", /is not enabled; needed: annotations\.enable/, "annotations: { enable: [] }");
    try {
      withAnnotation(name, "/opt/qemu-1/qemu");
    } catch (error) {
      assert(error instanceof Error);
      assert.doesNotMatch(error.message, /unknown key/, name);
    }
  }
});

test("by default nothing but kernel parameters is enabled", () => {
  refused("hypervisor.default_memory", "4096", /default_memory is not enabled/, "");
  refused("hypervisor.path", "/bin/sh", /path is not enabled/, "");
  assert.equal(withAnnotation("hypervisor.kernel_params", "a", "").hypervisor.kernelParameters, "a");
});

test("a pattern is for a whole name", () => {
  const base = "annotations: { enable: [hypervisor.path, path, kernel] }";
  refused("hypervisor.pathological", "/x", /not enabled/, base);
  refused("hypervisor.kernel", "/x", /not enabled/, base);
});

test("a path has to be one that the administrator allows", () => {
  refused(
    "hypervisor.path",
    "/bin/sh",
    /is "\/bin\/sh"; needed: a path that annotations\.hypervisorPaths allows/,
  );
  refused("hypervisor.path", "/opt/qemu-1/sub/qemu", /hypervisorPaths/);
  refused("hypervisor.path", "/opt/qemu-/../qemu", /hypervisorPaths/);
  refused("hypervisor.kernel", "/boot/guest/..", /kernelPaths allows \(\/boot\/guest\/\*\)/);
  refused("hypervisor.virtio_fs_daemon", "/usr/bin/kata-fsd", /daemonPaths allows \(it is empty\)/);
});

test("a bad value is told with the annotation and what is needed", () => {
  refused(
    "hypervisor.default_memory",
    "lots",
    /^annotation io\.katacontainers\.config\.hypervisor\.default_memory: hypervisor\.memoryMiB is "lots"; needed: a whole number from 128 to \d+, in MiB$/,
  );
  refused("hypervisor.default_vcpus", "1000", /needed: a whole number from 1 to 255/);
  refused("hypervisor.virtio_fs_cache_size", "100", /power of two/);
});

test("an annotation without effect is refused, unless it is to be ignored", () => {
  refused("runtime.sandbox_cgroup_only", "true", /has no effect in kata-fs/);
  refused("hypervisor.default_memroy", "512", /the nearest is hypervisor\.default_memory/);
  refused("hypervisor.constructor", "1", /has no effect/);
  assert.deepEqual(
    withAnnotation("hypervisor.block_device_driver", "virtio-blk"),
    parseConfiguration(BASE, "base"),
  );
});

test("other annotations are none of ours, and the one that names a configuration file is refused", () => {
  const current = parseConfiguration("", "base");
  assert.deepEqual(annotationSettings({ "io.kubernetes.cri.sandbox-id": "x", a: "b" }, current), []);
  assert.throws(
    () => annotationSettings({ "io.katacontainers.config_path": "/tmp/evil.yaml" }, current),
    /config_path is not supported; needed: a runtime/,
  );
});
