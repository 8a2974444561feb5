import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { FsdLog, FuseServer, FuseServerOptions } from "../fuse/fuse-server.js";
import { createFuseServer } from "../fuse/server.js";
import { createFsdMetrics, type FsdMetrics } from "../metrics.js";
import { PRESET_SHARE_POLICY } from "../passthrough/share-policy.js";
import { TestGuest } from "./test-guest.js";

export interface Fixture {
  /** The shared directory. Everything around it, up to `outside`, is outside of the share. */
  readonly dir: string;
  readonly outside: string;
  readonly guest: TestGuest;
  readonly server: FuseServer;
  readonly metrics: FsdMetrics;
  /** Errors that the server logged. */
  readonly errors: string[];
}

/** A server over a new directory, gone at the end of the test, with the session begun. */
export function serveDirectory(
  t: TestContext,
  options: Partial<FuseServerOptions> = {},
  prepare?: (dir: string) => void,
): Fixture {
  const outside = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const dir = mkdtempSync(join(outside, "share-"));
  prepare?.(dir);
  const metrics = createFsdMetrics();
  const errors: string[] = [];
  const ignore = () => {};
  const log: FsdLog = { debug: ignore, info: ignore, warn: ignore, error: (message) => errors.push(message) };
  // After what `prepare` has registered: a mount goes before the directory that it is in.
  t.after(() => rmSync(outside, { recursive: true, force: true }));
  const server = createFuseServer({
    ...PRESET_SHARE_POLICY,
    xattr: true,
    root: dir,
    daxThresholdBytes: 65536,
    window: null,
    inodeFileHandles: "never",
    metrics,
    longCallsMax: 0,
    log,
    ...options,
  });
  t.after(() => server.close());
  const guest = new TestGuest(server);
  guest.init();
  return { dir, outside, guest, server, metrics, errors };
}

/** Why a test that needs root cannot run, or false. */
export const needsRoot = process.geteuid?.() === 0 ? false : "needs root";
