import assert from "node:assert/strict";
import { test } from "node:test";
import { CONFIGURATION_FIELDS } from "./configuration.js";
import { parseSettings } from "./parse.js";
import { configurationOf, DEFAULT_ORIGIN, effectiveSettings, overridesOf } from "./settings.js";

const layers = [
  parseSettings(
    "hypervisor:\n  argv: [/old/qemu, -L, /old]\n  cpus: 2\n  env: { A: base, B: base }\n",
    "config.yaml",
  ),
  parseSettings("hypervisor:\n  argv: [/new/qemu]\n  env: { B: later, C: later }\n", "config.d/10.yaml"),
  parseSettings("runtime: { logLevel: debug }\nhypervisor: { cpus: 4 }\n", "config.d/20.yaml"),
];

test("the last file that sets a key decides; a list is replaced as a whole, names are joined", () => {
  const { hypervisor, runtime } = configurationOf(effectiveSettings(layers));
  assert.deepEqual(hypervisor.argv, ["/new/qemu"]);
  assert.equal(hypervisor.cpus, 4);
  assert.equal(hypervisor.memoryMiB, CONFIGURATION_FIELDS.hypervisor.memoryMiB.fallback);
  assert.deepEqual(hypervisor.env, { A: "base", B: "later", C: "later" });
  assert.equal(runtime.logLevel, "debug");
});

test("each value says where it was set", () => {
  const { hypervisor, runtime, guest } = effectiveSettings(layers);
  assert.equal(hypervisor.argv.origin, "config.d/10.yaml:2");
  assert.equal(hypervisor.cpus.origin, "config.d/20.yaml:2");
  assert.equal(hypervisor.env.origin, "config.yaml:4, config.d/10.yaml:3");
  assert.equal(runtime.logLevel.origin, "config.d/20.yaml:1");
  assert.equal(guest.root.origin, DEFAULT_ORIGIN);
});

test("a value may be set back to its default", () => {
  const base = parseSettings("hypervisor: { cpus: 2 }", "base");
  const effective = effectiveSettings([base, parseSettings("hypervisor: { cpus: 1 }", "drop-in")]);
  assert.deepEqual(effective.hypervisor.cpus, { value: 1, origin: "drop-in:1" });
});

test("what somebody has set can be told from the defaults", () => {
  assert.deepEqual(overridesOf(effectiveSettings([])), {
    hypervisor: {},
    guest: {},
    daemon: {},
    runtime: {},
    annotations: {},
    timeLimits: {},
  });
  assert.deepEqual(overridesOf(effectiveSettings(layers)).runtime, { logLevel: "debug" });
});
