/**
 * What crun says, and what clients of containerd know from runc: they tell "command not found" (exit status 127) from "cannot be
 * executed" (126) by these words.
 */
const WORDINGS: readonly (readonly [crun: RegExp, runc: (...groups: string[]) => string])[] = [
  [
    /^executable file `(.*)` not found(?: in \$PATH)?: (.*)$/,
    (file, reason) =>
      file.includes("/")
        ? `exec: "${file}": stat ${file}: ${reason.toLowerCase()}`
        : `exec: "${file}": executable file not found in $PATH`,
  ],
  [/^the path `(.*)` exists but it is not executable: .*$/, (file) => `exec: "${file}": permission denied`],
  [
    /^the path `(.*)` is not a regular file: .*$/,
    (file) => `exec: "${file}": is a directory: permission denied`,
  ],
  [
    /^chdir to `(.*)`: (.*)$/,
    (directory, reason) => `chdir to cwd ("${directory}") set in config.json failed: ${reason.toLowerCase()}`,
  ],
];

/** crun's reason for a failure, in the words that runc has for the same; unchanged where it has none. */
export function wordedAsRunc(reason: string): string {
  for (const [pattern, wording] of WORDINGS) {
    const match = pattern.exec(reason);
    if (match !== null) return wording(...match.slice(1));
  }
  return reason;
}
