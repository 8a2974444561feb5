/** How one key of the configuration is read. */
export interface Field<T> {
  /** The value without the key. */
  readonly fallback: T;
  /** What a value must be, for errors: "a whole number from 1 to 255". */
  readonly expects: string;
  /** The value of what YAML had; undefined when it is not what is expected. */
  read(value: unknown): { readonly value: T } | undefined;
}

/** An absolute path. */
export function path(fallback: string): Field<string> {
  return { fallback, ...PATH };
}

/** An absolute path, or nothing when the key is absent. */
export function optionalPath(): Field<string | undefined> {
  return { fallback: undefined, ...PATH };
}

const PATH = {
  expects: "an absolute path",
  read: (value: unknown) => (typeof value === "string" && value.startsWith("/") ? { value } : undefined),
};

/** Any string. */
export function text(fallback: string): Field<string> {
  return {
    fallback,
    expects: "a string",
    read: (value) => (typeof value === "string" ? { value } : undefined),
  };
}

export function wholeNumber(fallback: number, { from, to }: { from: number; to: number }): Field<number> {
  return {
    fallback,
    expects: `a whole number from ${from} to ${to}`,
    read: (value) =>
      typeof value === "number" && Number.isInteger(value) && value >= from && value <= to
        ? { value }
        : undefined,
  };
}

/** A power of two between two others. */
export function powerOfTwo(fallback: number, { from, to }: { from: number; to: number }): Field<number> {
  return {
    fallback,
    expects: `a power of two from ${from} to ${to}`,
    read: (value) =>
      typeof value === "number" && Number.isInteger(Math.log2(value)) && value >= from && value <= to
        ? { value }
        : undefined,
  };
}

/** `on` or `off`; YAML's `true` and `false` mean the same. */
export function onOrOff(fallback: boolean): Field<boolean> {
  return {
    fallback,
    expects: "on or off",
    read: (value) => {
      if (value === "on" || value === true) return { value: true };
      if (value === "off" || value === false) return { value: false };
      return undefined;
    },
  };
}

export function oneOf<const T extends string>(fallback: T, others: readonly T[]): Field<T> {
  const choices: readonly T[] = [fallback, ...others];
  return {
    fallback,
    expects: `one of ${choices.join(", ")}`,
    read: (value) => {
      const choice = choices.find((choice) => choice === value);
      return choice === undefined ? undefined : { value: choice };
    },
  };
}

/** A command line: a list of strings with at least one, or a string for a command without arguments. */
export function commandLine(fallback: readonly string[]): Field<readonly string[]> {
  return {
    fallback,
    expects: "a command, or a list of a command and its arguments",
    read: (value) => {
      const words: unknown[] = Array.isArray(value) ? value : [value];
      const isCommand =
        words.length > 0 && words[0] !== "" && words.every((word) => typeof word === "string");
      return isCommand ? { value: words } : undefined;
    },
  };
}

/** A mapping from names to strings. */
export function textByName(): Field<Readonly<Record<string, string>>> {
  return {
    fallback: {},
    expects: "a mapping of names to strings",
    read: (value) => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      const entries = Object.entries(value);
      return entries.every((entry): entry is [string, string] => typeof entry[1] === "string")
        ? { value: Object.fromEntries(entries) }
        : undefined;
    },
  };
}
