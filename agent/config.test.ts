import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  addressAtPort,
  DEFAULT_CONFIG,
  isAgentParameter,
  parseParameters,
  VMADDR_CID_ANY,
} from "./config.js";

describe("parseParameters", () => {
  test("finds the agent's among the kernel's", () => {
    const config = parseParameters(
      "console=hvc0 quiet agent.log=debug root=kataGuest agent.server_addr=vsock://3:2048\n",
    );
    assert.equal(config.logLevel, "debug");
    assert.deepEqual(config.serverAddress, { family: "vsock", cid: 3, port: 2048 });
  });

  test("has defaults", () => {
    assert.deepEqual(parseParameters(""), DEFAULT_CONFIG);
    assert.deepEqual(DEFAULT_CONFIG.serverAddress, { family: "vsock", cid: VMADDR_CID_ANY, port: 1024 });
  });

  test("takes the last of two", () => {
    assert.equal(parseParameters("agent.log=debug agent.log=error").logLevel, "error");
  });

  test("passes over what only the official agent knows", () => {
    assert.deepEqual(parseParameters("agent.devmode agent.hotplug_timeout=3"), DEFAULT_CONFIG);
  });

  test("listens on a UNIX socket outside of a guest", () => {
    const { serverAddress } = parseParameters("agent.server_addr=unix:///tmp/a.sock");
    assert.deepEqual(serverAddress, { family: "unix", path: "/tmp/a.sock" });
  });

  test("has the debug console beside the agent, if it is wanted", () => {
    const config = parseParameters("agent.debug_console agent.debug_console_vport=2000");
    assert(config.debugConsole);
    assert.equal(config.debugConsolePort, 2000);
    const inside = addressAtPort(config.serverAddress, 2000);
    assert.deepEqual(inside, { family: "vsock", cid: VMADDR_CID_ANY, port: 2000 });
    const { serverAddress, debugConsolePort } = parseParameters("agent.server_addr=unix:///tmp/a.sock");
    assert.deepEqual(addressAtPort(serverAddress, debugConsolePort), {
      family: "unix",
      path: "/tmp/a.sock_1026",
    });
  });

  test("forwards ports only where it is told to", () => {
    assert.equal(parseParameters("").portForwardPort, undefined);
    assert.equal(parseParameters("agent.port_forward_vport=1027").portForwardPort, 1027);
  });

  for (const bad of [
    "agent.debug_console_vport=0",
    "agent.port_forward_vport=x",
    "agent.log=loud",
    "agent.server_addr=tcp://1:2",
    "agent.server_addr=unix://relative",
  ]) {
    test(`refuses ${bad}, naming it`, () => {
      assert.throws(() => parseParameters(bad), { message: new RegExp(bad.replace(/[/.]/g, "\\$&")) });
    });
  }
});

test("words that a newer kernel does not know are no parameters of the agent's", () => {
  for (const word of ["noreplace-smp", "no_timer_check", "quiet", "net.ifnames=0"])
    assert.equal(isAgentParameter(word), false, word);
  assert.ok(isAgentParameter("agent.server_addr=unix:///tmp/a.sock"));
});
