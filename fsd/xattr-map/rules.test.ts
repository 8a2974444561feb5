import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseXattrMap, XattrMapError } from "./rules.js";
import { guestList, hostName } from "./testing/translate.js";

const refuses = (text: string, message: RegExp) =>
  assert.throws(
    () => parseXattrMap(text),
    (error) => error instanceof XattrMapError && message.test(error.message),
  );

describe("rules of --xattrmap", () => {
  it("put a prefix before all names, and hide what has none", () => {
    for (const text of [":prefix:all::user.vm.::bad:all:::", ":map::user.vm.:", "  |map||user.vm.|\n"]) {
      const map = parseXattrMap(text);
      assert.equal(hostName(map, "trusted.a"), "user.vm.trusted.a", text);
      assert.equal(hostName(map, "user.vm.trusted.a"), "user.vm.user.vm.trusted.a", text);
      assert.deepEqual(guestList(map, ["user.vm.trusted.a", "user.b", "user.vm."]), ["trusted.a"], text);
    }
  });

  it("put a prefix before some names, hide the host's own of that kind, and keep the guest from the prefix", () => {
    const long =
      "/prefix/all/trusted./user.vm./\n /bad/server//trusted./\n /bad/client/user.vm.//\n /ok/all///";
    for (const text of [long, "/map/trusted./user.vm./"]) {
      const map = parseXattrMap(text);
      assert.equal(hostName(map, "trusted.a"), "user.vm.trusted.a", text);
      assert.equal(hostName(map, "user.vm.trusted.a"), "denied", text);
      assert.equal(hostName(map, "user.b"), "user.b", text);
      assert.deepEqual(
        guestList(map, ["trusted.x", "user.vm.trusted.a", "user.b"]),
        ["trusted.a", "user.b"],
        text,
      );
    }
  });

  it("know unsupported names", () => {
    const map = parseXattrMap("/unsupported/all/security.selinux/security.selinux//ok/all///");
    assert.equal(hostName(map, "security.selinux"), "unsupported");
    assert.equal(hostName(map, "security.capability"), "security.capability");
    assert.deepEqual(guestList(map, ["security.selinux", "security.capability"]), ["security.capability"]);
  });

  it("apply to one side only where that is their scope", () => {
    const map = parseXattrMap(":prefix:client:trusted.:user.vm.: :prefix:server::user.other.: :ok:all:::");
    assert.equal(hostName(map, "trusted.a"), "user.vm.trusted.a");
    assert.deepEqual(guestList(map, ["user.vm.trusted.a", "user.other.b"]), ["user.vm.trusted.a", "b"]);
  });

  it("take each separator, and the first match", () => {
    const map = parseXattrMap("→bad→client→user.a→→ xbadxclientxuser.bxx :ok:all:::");
    assert.equal(hostName(map, "user.aa"), "denied");
    assert.equal(hostName(map, "user.b"), "denied");
    assert.equal(hostName(map, "user.c"), "user.c");
  });

  it("are refused with what is wrong with them", () => {
    refuses("", /^there is no rule$/);
    refuses(" \n ", /^there is no rule$/);
    refuses(":ok:all:", /^rule 1: ":" is missing at the end of its key$/);
    refuses(":ok:all::", /^rule 1: ":" is missing at the end of its prefix$/);
    refuses(
      ":ok:all::: :okay:all:::",
      /^rule 2: the type is "okay"; possible are prefix, ok, bad, unsupported, map$/,
    );
    refuses(":ok:both:::", /^rule 1: the scope is "both"; possible are client, server, all$/);
    refuses(":map:a:b: :map:c:d:", /^rule 1: behind a rule of the type map/);
    refuses(":map:a:b: :ok:all:::", /^rule 1: behind a rule of the type map/);
    refuses(":prefix:all::user.vm.:", /^some names of the server match no rule: .*:bad:server:::/);
    refuses(":ok:server:::", /^some names of the client match no rule/);
    refuses(`:ok:all:${"x".repeat(256)}::`, /^rule 1: 256 bytes/);
    refuses(":ok:all:a\0b::", /^rule 1: .*NUL/);
  });

  it("never throw anything else", () => {
    const word = fc.constantFrom(
      ":",
      "/",
      "map",
      "ok",
      "bad",
      "prefix",
      "all",
      "client",
      "server",
      "user.",
      " ",
      "\n",
      "é",
      "\0",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        try {
          parseXattrMap(words.join(""));
        } catch (error) {
          assert.ok(error instanceof XattrMapError, String(error));
        }
      }),
    );
  });

  it("of the type map give the guest back each name that it set, and nothing else", () => {
    const part = fc.stringMatching(/^[a-z.]{0,12}$/);
    fc.assert(
      fc.property(
        part,
        part.filter((text) => text !== ""),
        fc.array(part.filter((text) => text !== "")),
        (key, prefix, names) => {
          const map = parseXattrMap(`:map:${key}:${prefix}:`);
          for (const name of names) {
            const host = hostName(map, name);
            if (host === "denied") assert.ok(name.startsWith(prefix));
            // A name that is passed on may look like one that was renamed only if the guest could have set neither.
            else assert.deepEqual(guestList(map, [host]), [name]);
          }
          for (const seen of guestList(map, names)) {
            if (!names.includes(seen)) assert.ok(names.includes(prefix + seen));
          }
        },
      ),
    );
  });
});
