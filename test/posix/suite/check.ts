import assert from "node:assert/strict";

/** One statement about a file system, checked in a directory of its own that everybody may write to. */
export type Check = (dir: string) => void | Promise<void>;

/** Statements about one subject, by what they state. */
export interface Group {
  readonly name: string;
  readonly checks: Readonly<Record<string, Check>>;
}

/** Fails unless `action` throws an error with the errno named `code`. */
export function fails(code: string, action: () => unknown): void {
  assert.throws(action, (error: NodeJS.ErrnoException) => {
    assert.equal(error.code, code, error.message);
    return true;
  });
}

/** What is left out on a file system or kernel that lacks something: not a failure, but told. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}
