import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfiguration } from "../../configs/index.js";
import { kernelParameters } from "./kernel-parameters.js";

const parse = (yaml: string) => parseConfiguration(yaml, "config.yaml");

test("the guest's root is the guest OS directory, mapped if DAX is on", () => {
  const on = kernelParameters(parse("daemon: { dax: on }"), "kvm");
  assert(on.includes("root=kataGuest"));
  assert(on.includes("rootflags=dax=always"));
  const off = kernelParameters(parse("daemon: { dax: off }"), "kvm");
  assert(!off.some((parameter) => parameter.startsWith("rootflags=")));
});

test("the user's parameters come last, so that they win", () => {
  const parameters = kernelParameters(
    parse('hypervisor: { kernelParameters: "  quiet  loglevel=7 " }'),
    "tcg",
  );
  assert.deepEqual(parameters.slice(-2), ["quiet", "loglevel=7"]);
});

test("the agent offers a debug console unless it must not", () => {
  assert(kernelParameters(parse(""), "kvm").includes("agent.debug_console_vport=1026"));
  const off = kernelParameters(parse("guest: { debugConsole: off }"), "kvm");
  assert(!off.some((parameter) => parameter.startsWith("agent.debug_console")));
});

test("the agent forwards ports", () => {
  assert(kernelParameters(parse(""), "kvm").includes("agent.port_forward_vport=1027"));
});

test("only an emulated processor goes without mitigations", () => {
  assert(kernelParameters(parse(""), "tcg").includes("mitigations=off"));
  assert(!kernelParameters(parse(""), "kvm").includes("mitigations=off"));
});

test("an emulated processor's time stamp counter need not be measured", () => {
  assert(kernelParameters(parse(""), "tcg", 2_445_426).includes("tsc_early_khz=2445426"));
  const others = [kernelParameters(parse(""), "tcg"), kernelParameters(parse(""), "kvm", 2_445_426)];
  assert(!others.flat().some((parameter) => parameter.startsWith("tsc_early_khz")));
});
