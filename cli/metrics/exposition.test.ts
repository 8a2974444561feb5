import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Exposition } from "./exposition.js";

test("a family is told once, with the samples of all", () => {
  const exposition = new Exposition();
  exposition.add("a_bytes", "gauge", "Bytes.", { sandbox_id: 'x"y\\z\n' }, 5);
  exposition.add("b_total", "counter", "Times.", { sandbox_id: "x" }, 1);
  exposition.add("a_bytes", "gauge", "Bytes.", { sandbox_id: "z" }, 1.5);
  assert.equal(
    exposition.toString(),
    '# HELP a_bytes Bytes.\n# TYPE a_bytes gauge\na_bytes{sandbox_id="x\\"y\\\\z\\n"} 5\na_bytes{sandbox_id="z"} 1.5\n' +
      '# HELP b_total Times.\n# TYPE b_total counter\nb_total{sandbox_id="x"} 1\n',
  );
});

test("samples of a guest are passed on with our labels, and nothing else of it", () => {
  const exposition = new Exposition();
  exposition.addForeign(
    [
      "# HELP kata_guest_load whatever",
      "# TYPE kata_guest_load counter",
      'kata_guest_load{item="load1"} 0.25',
      "kata_guest_up 1",
      'kata_shim_fds{sandbox_id="other"} 7',
      'kata_guest_load{item="a"} 1\\n# TYPE evil gauge',
      'kata_guest_load{item="a\\"b"} 1',
      "kata_guest_load{item='a'} 1",
      "kata_guest_load{} NaN",
      "kata_guest_load 1.2.3",
      'kata_guest_load{item="a"other="b"} 1',
      'kata_guest_load{sandbox_id="other"} 1',
      'kata_guest_load{item="a",item="b"} 1',
    ].join("\n"),
    "kata_guest_",
    { sandbox_id: "pod" },
  );
  assert.equal(
    exposition.toString(),
    "# HELP kata_guest_load Told by the guest.\n# TYPE kata_guest_load counter\n" +
      'kata_guest_load{sandbox_id="pod",item="load1"} 0.25\n' +
      "# HELP kata_guest_up Told by the guest.\n# TYPE kata_guest_up gauge\n" +
      'kata_guest_up{sandbox_id="pod"} 1\n',
  );
});

test("whatever a guest says, every line is one of the format, and says whose it is", () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom("kata_guest_x", "{", "}", '"', "\\", "\n", " 1", "# TYPE ", 'a="b"', ",", "=", "\r"),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const exposition = new Exposition();
      exposition.addForeign(pieces.join(""), "kata_guest_", { sandbox_id: "pod" });
      for (const line of exposition.toString().split("\n").slice(0, -1)) {
        assert.match(
          line,
          /^(# (HELP|TYPE) kata_guest_\w* .+|kata_guest_\w*\{sandbox_id="pod"(,[a-zA-Z_]+="[^"\\]*")*\} -?[0-9.]+(e[+-]?[0-9]+)?)$/,
        );
      }
    }),
  );
});

test("a guest fills no more than its part of a page", () => {
  const exposition = new Exposition();
  exposition.addForeign("kata_guest_x 1\n".repeat(20_000), "kata_guest_", {});
  assert.equal(exposition.toString().split("\n").length, 5000 + 3);
});
