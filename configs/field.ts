/** How one key of the configuration is read. */
export interface Field<T> {
  /** The value without the key. */
  readonly fallback: T;
  /** What a value must be, for errors and for the commented file: "a whole number from 1 to 255". */
  readonly expects: string;
  /** What a number counts: "MiB", "seconds". */
  readonly unit?: string;
  /** A value to show in the commented file where there is no {@link fallback}. */
  readonly example?: unknown;
  /** The value of what YAML had; undefined when it is not what is expected. */
  read(value: unknown): { readonly value: T } | undefined;
  /** What a later file's value makes of an earlier file's; without it the later one replaces the earlier one. */
  join?(earlier: T, later: T): T;
}

/** An absolute path. */
export function path(fallback: string): Field<string> {
  return { fallback, ...PATH };
}

/** An absolute path, or nothing when the key is absent. */
export function optionalPath(example: string): Field<string | undefined> {
  return { fallback: undefined, example, ...PATH };
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

/** What numbers a field takes, both ends included. */
export interface NumberRange {
  readonly from: number;
  readonly to: number;
  readonly unit?: string;
}

export function wholeNumber(fallback: number, range: NumberRange): Field<number> {
  return numberField(fallback, range, "a whole number", Number.isInteger);
}

/** A power of two between two others. */
export function powerOfTwo(fallback: number, range: NumberRange): Field<number> {
  return numberField(fallback, range, "a power of two", (value) => Number.isInteger(Math.log2(value)));
}

/** A time, with fractions of a second. */
export function seconds(fallback: number, range: Omit<NumberRange, "unit">): Field<number> {
  return numberField(fallback, { ...range, unit: "seconds" }, "a number", () => true);
}

function numberField(
  fallback: number,
  { from, to, unit }: NumberRange,
  kind: string,
  isKind: (value: number) => boolean,
): Field<number> {
  return {
    fallback,
    expects: `${kind} from ${from} to ${to}`,
    ...(unit === undefined ? {} : { unit }),
    read: (value) =>
      typeof value === "number" && value >= from && value <= to && isKind(value) ? { value } : undefined,
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

/** A list of strings each of which has to be `valid`. @param expects what the list is: "a list of absolute paths" */
export function textList(
  fallback: readonly string[],
  expects: string,
  valid: (text: string) => boolean,
): Field<readonly string[]> {
  return {
    fallback,
    expects,
    read: (value) =>
      Array.isArray(value) && value.every((word): word is string => typeof word === "string" && valid(word))
        ? { value }
        : undefined,
  };
}

/** A mapping from names to strings. A later file's names are added to an earlier file's. */
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
    join: (earlier, later) => ({ ...earlier, ...later }),
  };
}
