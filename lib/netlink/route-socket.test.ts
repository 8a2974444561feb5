import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { SysError } from "../sys/errno.js";
import { AF_INET, AF_INET6 } from "./ip-address.js";
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from "./message.js";
import {
  encodeAddress,
  encodeLinkChange,
  encodeNeighbour,
  encodeRoute,
  type Link,
  NUD_PERMANENT,
  type Route,
  Rtm,
} from "./route.js";
import { RouteSocket } from "./route-socket.js";
import { TestNamespace, withoutNamespaces } from "./testing.js";
import { encodeIngress, encodeRedirect } from "./traffic-control.js";

/** Beside ip(8) and tc(8), which know the kernel's protocol. */
describe("rtnetlink", { skip: withoutNamespaces() }, () => {
  let space: TestNamespace;
  let other: TestNamespace;
  let socket: RouteSocket;

  before(() => {
    space = new TestNamespace();
    other = new TestNamespace();
    space.joinWith(other, "one", "peer");
    socket = space.namespace.run(() => new RouteSocket());
  });
  after(() => {
    socket.close();
    space.close();
    other.close();
  });

  function link(name: string): Link {
    const found = socket.links().find((each) => each.name === name);
    assert.ok(found, `there is no ${name}`);
    return found;
  }

  test("tells interfaces as ip does, and changes them", () => {
    const subject = "a test";
    socket.change(Rtm.NEWLINK, encodeLinkChange(link("one").index, { mtuBytes: 1300 }), { subject });
    const [shown] = JSON.parse(space.ip("-j -d link show dev one"));
    const { index, mac, mtuBytes, kind } = link("one");
    assert.deepEqual(
      { index, mac, mtuBytes, kind },
      { index: shown.ifindex, mac: shown.address, mtuBytes: shown.mtu, kind: shown.linkinfo.info_kind },
    );
    assert.equal(mtuBytes, 1300);
    socket.change(Rtm.NEWLINK, encodeLinkChange(index, { isUp: false }), { subject });
    socket.change(Rtm.NEWLINK, encodeLinkChange(index, { name: "renamed" }), { subject });
    assert.match(space.ip("link show dev renamed"), /state DOWN/);
    socket.change(Rtm.NEWLINK, encodeLinkChange(index, { name: "one", isUp: true }), { subject });
    assert.match(space.ip("link show dev one"), /,UP/);
  });

  test("gives addresses, and lists those that ip has given", () => {
    const linkIndex = link("one").index;
    for (const [address, prefixLength] of [
      ["10.77.0.2", 24],
      ["fd77::2", 64],
    ] as const) {
      const encoded = encodeAddress({ linkIndex, address, prefixLength, scope: 0 });
      socket.change(Rtm.NEWADDR, encoded, { flags: NLM_F_CREATE | NLM_F_EXCL, subject: address });
    }
    const shown = space.ip("addr show dev one");
    assert.match(shown, /inet 10\.77\.0\.2\/24 scope global one/);
    assert.match(shown, /inet6 fd77::2\/64 scope global nodad/);
    space.ip("addr add 10.77.0.3/16 dev one");
    const found = socket.addresses().filter((each) => each.linkIndex === linkIndex && each.scope === 0);
    assert.deepEqual(
      found.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      ["10.77.0.2/24", "10.77.0.3/16", "fd77:0:0:0:0:0:0:2/64"],
    );
  });

  test("makes routes as they were read elsewhere", () => {
    const linkIndex = link("one").index;
    space.ip("route add default via 10.77.0.1 dev one mtu 1200 metric 5");
    space.ip("route add 10.99.0.0/16 dev one scope link src 10.77.0.2");
    space.ip("route add 10.98.0.0/16 via 192.168.1.1 dev one onlink");
    space.ip("-6 route add fd99::/48 via fd77::1 dev one metric 9");
    const routes = socket.routes();
    const text = (list: readonly Route[]) =>
      list.map(({ destination, gateway, mtuBytes, priority }) => [destination, gateway, mtuBytes, priority]);
    assert.deepEqual(text(routes), [
      ["", "10.77.0.1", 1200, 5],
      ["10.98.0.0/16", "192.168.1.1", 0, 0],
      ["10.99.0.0/16", "", 0, 0],
      ["fd99:0:0:0:0:0:0:0/48", "fd77:0:0:0:0:0:0:1", 0, 9],
    ]);
    assert.deepEqual(
      routes.map(({ family }) => family),
      [AF_INET, AF_INET, AF_INET, AF_INET6],
    );
    const before = space.ip("route show") + space.ip("-6 route show");
    for (const route of routes) {
      const { destination: subject } = route;
      socket.change(Rtm.DELROUTE, encodeRoute(route), { subject });
      socket.change(Rtm.NEWROUTE, encodeRoute(route), { flags: NLM_F_CREATE | NLM_F_REPLACE, subject });
    }
    assert.equal(space.ip("route show") + space.ip("-6 route show"), before);
    assert.ok(
      routes.every((route) => route.linkIndex === linkIndex),
      "all are the interface's",
    );
  });

  test("makes neighbours, and lists them", () => {
    const neighbour = {
      linkIndex: link("one").index,
      address: "10.77.0.1",
      mac: "02:00:00:00:00:01",
      state: NUD_PERMANENT,
      flags: 0,
    };
    const flags = NLM_F_CREATE | NLM_F_REPLACE;
    socket.change(Rtm.NEWNEIGH, encodeNeighbour(neighbour), { flags, subject: neighbour.address });
    assert.equal(
      space.ip("neigh show 10.77.0.1").trim(),
      "10.77.0.1 dev one lladdr 02:00:00:00:00:01 PERMANENT",
    );
    assert.deepEqual(
      socket.neighbours().filter(({ address }) => address === neighbour.address),
      [neighbour],
    );
  });

  test("hangs redirections on what comes in, as tc shows them", () => {
    space.ip("link add two type veth peer name three");
    const options = { flags: NLM_F_CREATE | NLM_F_EXCL, subject: "a test" };
    socket.change(Rtm.NEWQDISC, encodeIngress(link("one").index), options);
    socket.change(Rtm.NEWTFILTER, encodeRedirect(link("one").index, link("two").index), options);
    const shown = space.run("tc", "filter", "show", "dev", "one", "parent", "ffff:");
    assert.match(shown, /filter protocol all pref 1 u32 /);
    assert.match(shown, /match 00000000\/00000000 at 0/);
    assert.match(shown, /mirred \(Egress Redirect to device two\) stolen/);
    socket.change(Rtm.DELQDISC, encodeIngress(link("one").index), { subject: "a test" });
    assert.doesNotMatch(space.run("tc", "qdisc", "show", "dev", "one"), /ingress/);
  });

  test("says what failed by its errno, and goes on", () => {
    assert.throws(
      () =>
        socket.change(Rtm.NEWLINK, encodeLinkChange(9999, { isUp: true }), { subject: "interface nobody" }),
      (error) =>
        error instanceof SysError && error.code === "ENODEV" && /interface nobody/.test(error.message),
    );
    assert.ok(socket.links().length > 0, "there are interfaces");
  });
});
