/** mount(2) takes at most a page of options, including the NUL at their end. */
export const OPTIONS_MAX_BYTES = 4095;

const LOWERDIR = "lowerdir=";

/** Options for an overlay, to be mounted with `directory` as the working directory. */
export interface OverlayOptions {
  readonly directory: string;
  readonly options: readonly string[];
}

/**
 * Makes overlay options fit a page where absolute paths would not: the lower directories, of which an image may have more
 * than a hundred, are named relative to the deepest directory that has them all. Options that fit stay as they are.
 */
export function fitOverlayOptions(options: readonly string[]): OverlayOptions {
  const unchanged = { directory: "/", options };
  if (Buffer.byteLength(options.join(",")) <= OPTIONS_MAX_BYTES) return unchanged;
  const lowerdir = options.find((option) => option.startsWith(LOWERDIR));
  // A colon that belongs to a name has a backslash before it.
  const lowers = lowerdir?.slice(LOWERDIR.length).split(/(?<!\\):/) ?? [];
  const directory = commonDirectory(lowers);
  if (directory === "" || directory.includes("\\")) return unchanged;
  const relative = lowers.map((path) => path.slice(directory.length + 1)).join(":");
  return {
    directory,
    options: options.map((option) => (option === lowerdir ? `${LOWERDIR}${relative}` : option)),
  };
}

/** The deepest directory above all of `paths`, without a slash at its end; empty for the root. */
function commonDirectory(paths: readonly string[]): string {
  const [first = "", ...others] = paths;
  const names = first.split("/").slice(0, -1);
  while (names.length > 0 && !others.every((path) => path.startsWith(`${names.join("/")}/`))) names.pop();
  return names.join("/");
}
