import { ShimError, StatusCode } from "../error.js";

/** Where containerd wants a stream to go to or come from. */
export type StdioTarget =
  | { readonly kind: "none" }
  /** A path as such: a fifo in practice, but a device or a file works as well. */
  | { readonly kind: "path"; readonly path: string }
  /** `file://`: a log file that is made when it does not exist, and appended to. */
  | { readonly kind: "log-file"; readonly path: string }
  | BinaryTarget;

/** `binary://`: a program that takes output and errors. Each key of the query is an argument, its value the next one. */
export interface BinaryTarget {
  readonly kind: "binary";
  readonly path: string;
  readonly args: readonly string[];
}

/**
 * Reads one of the stdio values of Create and Exec.
 *
 * @throws ShimError INVALID_ARGUMENT for a scheme that the shim has no way to serve
 */
export function parseStdio(stream: "stdin" | "stdout" | "stderr", value: string): StdioTarget {
  if (value === "") return { kind: "none" };
  if (value.startsWith("/")) return { kind: "path", path: value };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(value)?.[1];
  if (scheme === "file" && stream !== "stdin") {
    const path = decodeURIComponent(new URL(value).pathname);
    if (path !== "/") return { kind: "log-file", path };
  }
  if (scheme === "binary" && stream !== "stdin") {
    const { pathname, searchParams } = new URL(value);
    const path = decodeURIComponent(pathname);
    if (path !== "/" && path !== "") return { kind: "binary", path, args: argumentsOf(searchParams) };
  }
  throw new ShimError(
    StatusCode.INVALID_ARGUMENT,
    scheme === undefined
      ? `${stream} "${value}" is no absolute path`
      : `${stream} "${value}" cannot be served: kata-fs takes a fifo's path${stream === "stdin" ? "" : " or file:///path or binary:///path"}`,
  );
}

/** As containerd has them: of a key that is repeated the first value, of one without a value an empty word. */
function argumentsOf(query: URLSearchParams): string[] {
  return [...new Set(query.keys())].flatMap((key) => [key, query.get(key) ?? ""]);
}
