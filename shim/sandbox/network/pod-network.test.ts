import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { TestNamespace, withoutNamespaces } from "../../../lib/netlink/testing.js";
import { close } from "../../../lib/sys/file.js";
import { NetworkNamespace } from "../../../lib/sys/network-namespace.js";
import { PollSet } from "../../../lib/sys/poll.js";
import { openPodNamespace } from "./pod-namespace.js";
import { PodNetwork, removeRecordedNetwork } from "./pod-network.js";

/** struct virtio_net_hdr with the number of buffers, which a tap has unless it is told another size: 10 bytes. */
const VIRTIO_HEADER_BYTES = 10;
const ETHERTYPE_OFFSET = 12;
const ETH_P_ARP = 0x0806;
const LIMIT_MS = 20_000;

describe("a pod's network", { skip: withoutNamespaces() }, () => {
  let pod: TestNamespace;
  let host: TestNamespace;
  let directory: string;
  const path = () => `/proc/${process.pid}/fd/${pod.namespace.fd}`;
  const record = () => join(directory, "network");
  const open = () => PodNetwork.join({ namespace: NetworkNamespace.open(path()), path: path() }, record());

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "pod-network-"));
    pod = new TestNamespace();
    host = new TestNamespace();
    pod.joinWith(host, "eth0", "peer");
    pod.ip("link set eth0 mtu 1400");
    pod.ip("addr add 10.66.0.2/24 dev eth0");
    host.ip("addr add 10.66.0.1/24 dev peer");
  });
  afterEach(() => {
    pod.close();
    host.close();
    rmSync(directory, { recursive: true });
  });

  test("has a card for each interface with an address, and its MAC", () => {
    pod.ip("link add second type veth peer name unused");
    pod.ip("addr add 10.67.0.2/24 dev second");
    pod.ip("link set second up");
    pod.ip("link set unused up");
    // It would have an address for its link, and so be one of them.
    pod.ip("-6 addr flush dev unused");
    const network = open();
    assert.deepEqual(
      network.interfaces.map(({ link }) => link.name),
      ["eth0", "second"].sort((a, b) => indexOf(a) - indexOf(b)),
    );
    const cards = network.takeCards();
    assert.deepEqual(
      cards.map(({ mac }) => mac),
      network.interfaces.map(({ link }) => link.mac),
    );
    assert.match(pod.ip("link show tap0_kata"), /,UP.* mtu 1400 /);
    for (const { tapFd } of cards) close(tapFd);
    network.part();
  });

  test("hands packets to the card and from it, and none to the namespace", async () => {
    const network = open();
    const [card] = network.takeCards();
    assert.ok(card, "there is a card");
    // Nobody answers, for the namespace does not hear it.
    const script = `const socket = require("node:dgram").createSocket("udp4"); socket.send("hello", 9, "10.66.0.2", () => socket.close())`;
    const sender = host.namespace.run(() => execFile(process.execPath, ["-e", script], () => {}));
    const request = await frame(card.tapFd, (bytes) => bytes.readUInt16BE(ETHERTYPE_OFFSET) === ETH_P_ARP);
    // The same back, as an answer: who asked learns of the address.
    const answer = Buffer.from(request);
    request.copy(answer, 0, 6, 12);
    Buffer.from("020000000042", "hex").copy(answer, 6);
    answer.writeUInt16BE(2, 20);
    answer.copy(answer, 32, 22, 28);
    Buffer.from("020000000042", "hex").copy(answer, 22);
    Buffer.from([10, 66, 0, 2]).copy(answer, 28);
    Buffer.from([10, 66, 0, 1]).copy(answer, 38);
    writeSync(card.tapFd, Buffer.concat([Buffer.alloc(VIRTIO_HEADER_BYTES), answer]));
    const deadline = performance.now() + LIMIT_MS;
    while (!host.ip("neigh show 10.66.0.2").includes("lladdr 02:00:00:00:00:42")) {
      assert.ok(performance.now() < deadline, host.ip("neigh show"));
    }
    close(card.tapFd);
    network.part();
    await new Promise((resolve) => sender.once("close", resolve));
  });

  test("leaves the namespace as it was, also when the shim is gone", () => {
    const before = [pod.run("tc", "qdisc", "show"), pod.ip("-br link")];
    open().part();
    assert.deepEqual([pod.run("tc", "qdisc", "show"), pod.ip("-br link")], before);

    const lost = open();
    for (const { tapFd } of lost.takeCards()) close(tapFd);
    assert.notEqual(pod.run("tc", "qdisc", "show"), before[0]);
    removeRecordedNetwork(record());
    assert.deepEqual([pod.run("tc", "qdisc", "show"), pod.ip("-br link")], before);
    removeRecordedNetwork(record());
    removeRecordedNetwork(join(directory, "none"));
    lost.part();
  });

  test("can be joined once only", () => {
    const network = open();
    const before = pod.run("tc", "qdisc", "show");
    assert.throws(open, /tap0_kata: EBUSY/);
    assert.equal(pod.run("tc", "qdisc", "show"), before);
    network.part();
  });

  test("is the one that the configuration names, and never the host's", () => {
    const config = (path?: string) => ({
      linux: { namespaces: [{ type: "network", ...(path && { path }) }] },
    });
    const named = openPodNamespace(config(path()));
    assert.equal(named.path, path());
    named.namespace.close();
    assert.throws(() => openPodNamespace(config("/proc/self/ns/net")), /hostNetwork: true is not supported/);
    assert.throws(
      () => openPodNamespace(config("/nowhere/net")),
      /network namespace \/nowhere\/net: .*ENOENT.*; needed/,
    );
    assert.throws(() => openPodNamespace(config("/etc/passwd")), /setns .*EINVAL/);
    for (const without of [config(), { linux: {} }]) {
      const { namespace, path } = openPodNamespace(without);
      assert.deepEqual([namespace.isOwn, path], [false, ""]);
      namespace.close();
    }
  });

  function indexOf(name: string): number {
    return Number(pod.ip(`-o link show dev ${name}`).split(":")[0]);
  }
});

/** The next frame from a card that is wanted. */
async function frame(tapFd: number, isWanted: (bytes: Buffer) => boolean): Promise<Buffer> {
  const buffer = Buffer.alloc(2048);
  const ready = new PollSet(1);
  ready.add(tapFd);
  for (;;) {
    assert.ok(ready.wait(LIMIT_MS) > 0, "nothing comes in at the card");
    const count = readSync(tapFd, buffer);
    const bytes = Buffer.from(buffer.subarray(VIRTIO_HEADER_BYTES, count));
    if (isWanted(bytes)) return bytes;
  }
}
