import assert from "node:assert/strict";
import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { openPipe } from "../sys/pipe.js";
import { OutputReader } from "./output-reader.js";

describe("OutputReader", () => {
  test("gives what there is, up to the limit", async () => {
    const stream = new PassThrough();
    const reader = new OutputReader(stream);
    stream.write("hello");
    assert.equal((await reader.read(3)).toString(), "hel");
    assert.equal((await reader.read(100)).toString(), "lo");
  });

  test("waits for output", async () => {
    const stream = new PassThrough();
    const pending = new OutputReader(stream).read(10);
    setImmediate(() => stream.write("late"));
    assert.equal((await pending).toString(), "late");
  });

  test("is empty at the end, again and again", async () => {
    const stream = new PassThrough();
    const reader = new OutputReader(stream);
    stream.end("x");
    assert.equal((await reader.read(10)).toString(), "x");
    assert.equal((await reader.read(10)).length, 0);
    assert.equal((await reader.read(10)).length, 0);
    assert.equal(reader.ended, true);
  });

  test("ends when the terminal breaks off", async () => {
    const stream = new PassThrough();
    const pending = new OutputReader(stream).read(10);
    stream.destroy(new Error("EIO"));
    assert.equal((await pending).length, 0);
  });

  test("loses patience only when nothing comes", async () => {
    const stream = new PassThrough();
    const reader = new OutputReader(stream);
    stream.write("rest");
    reader.limitPatience(20);
    assert.equal((await reader.read(10)).toString(), "rest");
    assert.equal((await reader.read(10)).length, 0);
  });

  test("loses patience with a read that waits already", async () => {
    const reader = new OutputReader(new PassThrough());
    const pending = reader.read(10);
    reader.limitPatience(20);
    assert.equal((await pending).length, 0);
  });

  test("does not take a stall of the machine for silence", async () => {
    const { readEnd: reading, writeEnd: writing } = openPipe();
    const reader = new OutputReader(new Socket({ fd: reading, readable: true, writable: false }));
    reader.limitPatience(50);
    const pending = reader.read(10);
    await turn();
    writeSync(writing, "late");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    assert.equal((await pending).toString(), "late");
    reader.close();
    closeSync(writing);
  });

  test("gives each byte to one of two readers", async () => {
    const stream = new PassThrough();
    const reader = new OutputReader(stream);
    const both = Promise.all([reader.read(1), reader.read(1)]);
    stream.write("ab");
    const bytes = (await both).map((each) => each.toString());
    assert.deepEqual(bytes.sort(), ["a", "b"]);
  });
});
