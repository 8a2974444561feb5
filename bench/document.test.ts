import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { replaceSection } from "./document.js";

const TEXT =
  "# A\n<!-- bench one -->\nold\n<!-- end one -->\nbetween\n<!-- bench two -->\n<!-- end two -->\nlast\n";

describe("replaceSection", () => {
  it("replaces what is between the marks of one section", () => {
    const once = replaceSection(TEXT, "one", "new\n");
    assert.equal(
      once,
      "# A\n<!-- bench one -->\n\nnew\n\n<!-- end one -->\nbetween\n<!-- bench two -->\n<!-- end two -->\nlast\n",
    );
    assert.equal(replaceSection(once, "one", "new"), once);
    assert.match(replaceSection(once, "two", "x"), /new[\s\S]*bench two -->\n\nx\n\n<!-- end two/);
  });

  it("refuses a text without the marks", () => {
    assert.throws(() => replaceSection(TEXT, "three", "x"), /no marks/);
    assert.throws(() => replaceSection("<!-- end one --><!-- bench one -->", "one", "x"), /no marks/);
  });
});
