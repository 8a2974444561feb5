import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execute } from "../e2e/machine.js";
import { type NetworkPlugins, Node, type Pod } from "./node.js";
import { exchange } from "./port-stream.js";

/** Another series of containerd: KATA_FS_CONTAINERD=2.1. */
const { KATA_FS_CONTAINERD: series = "1.7" } = process.env;
const SERVE = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const MTU_BYTES = 1400;
/** Of IPv4 and ICMP. */
const HEADERS_BYTES = 28;
const GATEWAY = { v4: "10.214.0.1", v6: "fd00:214::1" };
const PORT = 5000;
const FORWARDED_PORT = 8080;
const FORWARDED_BYTES = 2 ** 16;
const TRANSFER_BYTES = 64 * 2 ** 20;
const DATA = Buffer.alloc(TRANSFER_BYTES, "sixty-four mebibytes of what goes over the wire\n");
const MD5 = createHash("md5").update(DATA).digest("hex");

/** A bridge with an address of the host's, routes of both families, and a second interface of the pod's. */
const plugins: NetworkPlugins = (bridge, dataDir) => [
  {
    type: "bridge",
    bridge,
    isGateway: true,
    mtu: MTU_BYTES,
    ipam: {
      type: "host-local",
      dataDir,
      ranges: [
        [{ subnet: "10.214.0.0/24", gateway: GATEWAY.v4 }],
        [{ subnet: "fd00:214::/64", gateway: GATEWAY.v6 }],
      ],
      routes: [{ dst: "10.215.0.0/16" }, { dst: "fd00:215::/64" }],
    },
  },
];

describe("the network of a pod", () => {
  let node: Node;
  let pod: Pod;
  let container: string;
  let address: string;

  before(async () => {
    node = await Node.start(series, {}, plugins);
    pod = await node.runPod("net");
    container = await node.run(pod, "main", SERVE);
    address = (await node.client.podSandboxStatus(pod.id)).network.ip;
  });
  after(() => node?.stop());

  it("has the interface, addresses, MTU and routes that CNI has made", async () => {
    const shown = await node.output(
      container,
      "busybox ip addr show dev eth0; busybox ip route; busybox ip -6 route",
    );
    assert.match(shown, /<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 /);
    assert.ok(shown.includes(`inet ${address}/24 `), shown);
    assert.match(shown, /inet6 fd00:214::[0-9a-f]+\/64 scope global/);
    assert.match(shown, /^10\.215\.0\.0\/16 via 10\.214\.0\.1 dev eth0/m);
    assert.match(shown, /^fd00:215::\/64 via fd00:214::1 dev eth0/m);
    assert.equal(await node.output(container, "cat /sys/class/net/lo/operstate"), "unknown\n");
  });

  it("reaches the host by both protocols, with datagrams as large as may be", async () => {
    const ping = (options: string, to: string) =>
      node.output(container, `busybox ping ${options} -c 2 -W 10 ${to}`);
    assert.match(await ping("", GATEWAY.v4), /2 packets received/);
    assert.match(await ping("-6", GATEWAY.v6), /2 packets received/);
    assert.match(await ping(`-s ${MTU_BYTES - HEADERS_BYTES}`, GATEWAY.v4), /2 packets received/);
  });

  it("carries 64 MiB each way over TCP as they are", async () => {
    const server = createServer((connection) => connection.end(DATA)).listen(0, GATEWAY.v4);
    await once(server, "listening");
    const bound = server.address();
    assert.ok(typeof bound === "object" && bound !== null, "a server has its port");
    try {
      const fetched = await node.output(
        container,
        `busybox nc ${GATEWAY.v4} ${bound.port} </dev/null | md5sum`,
      );
      assert.equal(fetched, `${MD5}  -\n`);
    } finally {
      server.close();
    }
    const received = node.output(container, `busybox nc -l -p ${PORT} </dev/null | md5sum`);
    const connection = await connected(address);
    connection.end(DATA);
    assert.equal(await received, `${MD5}  -\n`);
  });

  it("joins two pods", async () => {
    const other = await node.runPod("other");
    const its = await node.run(other, "main", SERVE);
    const { ip } = (await node.client.podSandboxStatus(other.id)).network;
    const said = node.output(its, `busybox nc -l -p ${PORT} </dev/null`);
    const say = `until echo hello | busybox nc -w 5 ${ip} ${PORT}; do sleep 0.2; done`;
    await node.output(container, say);
    assert.equal(await said, "hello\n");
    const v6 =
      /inet6 (fd00:\S+)\/64/.exec(await node.output(its, "busybox ip addr show dev eth0"))?.[1] ?? "";
    assert.match(await node.output(container, `busybox ping -6 -c 1 -W 10 ${v6}`), /1 packets received/);
    await node.removePod(other);
  });

  it("forwards ports of the pod to processes that listen at the guest's loopback address alone", async () => {
    const serve = (host: string, port: number) => `busybox httpd -p ${host}:${port} -h /www`;
    await node.output(
      container,
      `busybox mkdir /www && busybox head -c ${FORWARDED_BYTES} /dev/zero | busybox tr '\\0' x >/www/file &&
      ${serve("127.0.0.1", FORWARDED_PORT)} && ${serve("[::1]", FORWARDED_PORT + 1)}`,
    );
    for (const port of [FORWARDED_PORT, FORWARDED_PORT + 1]) {
      const answer = await exchange(
        await node.client.portForward(pod.id, port),
        port,
        "GET /file HTTP/1.0\r\n\r\n",
        (text) => text.endsWith("x".repeat(FORWARDED_BYTES)),
      );
      assert.match(answer, /^HTTP\/1\.\d 200 OK\r\n/);
    }
    await assert.rejects(
      node.client.portForward(pod.id, PORT).then((url) => exchange(url, PORT, "hello", () => true)),
    );
  });

  it("is refused when its namespace is the host's own", async () => {
    await assert.rejects(
      node.runPod("host", { linux: { security_context: { namespace_options: { network: 2 } } } }),
      /hostNetwork: true is not supported/,
    );
  });

  it("leaves nothing behind", async () => {
    await node.removePod(pod);
    const { stdout } = await execute(["ip", "-o", "link", "show", "master", node.bridge]);
    assert.equal(stdout.toString(), "");
  });
});

/** A connection to a port that is about to be listened at. */
async function connected(host: string): Promise<Socket> {
  for (let left = 100; ; left--) {
    const socket = connect(PORT, host);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (left === 0) throw error;
    }
    await delay(100);
  }
}
