import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LaunchedProgram } from "../../fsd/sandbox/testing/launched.js";
import { measure, medianSample } from "./measure.js";
import { ROWS } from "./rows.js";
import { fillShare } from "./share.js";
import { Subject } from "./subjects.js";

const DEPTH = 2;

describe("the front end without a virtual machine", () => {
  it("gets the right answer to every row from a daemon", async () => {
    const directory = mkdtempSync(join(tmpdir(), "kata-fs-bench-"));
    const share = join(directory, "share");
    mkdirSync(share);
    fillShare(share, [DEPTH]);
    const program = new LaunchedProgram("fsd/main.ts");
    const description = {
      name: "kata-fsd",
      isReadOnly: false,
      argv: (socket: string, shared: string) => [
        program.launcher,
        `--socket-path=${socket}`,
        `--shared-dir=${shared}`,
        "--xattr",
        "--export=/:exclusive",
        "--sandbox=none",
        "--log-level=error",
      ],
    };
    const subject = await Subject.start(description, share, directory, undefined);
    try {
      for (const row of ROWS) {
        const mark = subject.ring.mark;
        const step = row.prepare(subject.ring, subject.guest, DEPTH);
        for (let turn = 0; turn < 10; turn++) step();
        const sample = measure(subject, step, 1);
        assert.ok(sample.operationsPerSecond > 0 && sample.p50Us > 0, row.name);
        subject.ring.freeTo(mark);
      }
      assert.ok(subject.cpuSeconds > 0);
    } finally {
      await subject.stop();
      program.remove();
      rmSync(directory, { recursive: true });
    }
  });
});

describe("medianSample", () => {
  it("takes the median of each figure", () => {
    const sample = (value: number) => ({
      operationsPerSecond: value,
      p50Us: -value,
      p99Us: value * 2,
      cpuUs: 1,
      kicks: 0,
    });
    assert.deepEqual(medianSample([sample(3), sample(1), sample(2)]), sample(2));
  });
});
