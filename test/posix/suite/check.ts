import assert from "node:assert/strict";

/** Directories that the suite is given. */
export interface Places {
  /** Empty, and there is room. */
  readonly work: string;
  /** The root of a file system of a few MiB that is mounted below the one that holds {@link Places.work}. */
  readonly small: string;
  /** What fixed-tree.ts made, on a file system that refuses all changes. */
  readonly fixed: string;
}

/**
 * One statement about a file system, checked in a directory of its own that everybody may write to; those about
 * {@link Places.fixed} there.
 */
export type Check = (dir: string) => void | Promise<void>;

/** Statements about one subject, by what they state. */
export interface Group {
  readonly name: string;
  /** Where they are checked: {@link Places.work} unless it says otherwise. */
  readonly place?: keyof Places;
  readonly checks: Readonly<Record<string, Check>>;
}

/** Fails unless `action`, which is told as `what`, throws an error with the errno named `code`. */
export function fails(code: string, action: () => unknown, what = "the call"): void {
  try {
    action();
  } catch (error) {
    const found = error instanceof Error && "code" in error ? error.code : undefined;
    assert.equal(found, code, `${what}: ${error}`);
    return;
  }
  assert.fail(`${what} did not end with ${code}`);
}

/** What is left out on a file system or kernel that lacks something: not a failure, but told. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}
