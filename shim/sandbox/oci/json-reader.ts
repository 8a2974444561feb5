import { ShimError, StatusCode } from "../../error.js";

/** The largest number of JavaScript that fits 64 bits. */
const LARGEST_UINT64 = 2 ** 64 - 2 ** 11;

/**
 * Reads parts of a parsed JSON document that should have a known shape. What is absent (or null, as Go writes it) reads as
 * empty; what has another type is refused with its place in the document.
 */
export class JsonReader {
  private constructor(
    private readonly fields: Readonly<Record<string, unknown>>,
    private readonly place: string,
  ) {}

  /** @throws ShimError INVALID_ARGUMENT when `value` is no object */
  static of(value: unknown, place: string): JsonReader {
    if (isObject(value)) return new JsonReader(value, place);
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `${place} is ${describe(value)}; needed: an object`);
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined && this.fields[name] !== null;
  }

  text(name: string): string {
    return this.#read(name, "", "a string", (value) => (typeof value === "string" ? value : undefined));
  }

  flag(name: string): boolean {
    return this.#read(name, false, "true or false", (value) =>
      typeof value === "boolean" ? value : undefined,
    );
  }

  /** A whole number. Beyond 2^53, as "unlimited" of 64 bits is written, it comes rounded, but never to 2^64 or more. */
  number(name: string): number {
    return this.#read(name, 0, "a whole number", (value) =>
      Number.isInteger(value) ? Math.min(Number(value), LARGEST_UINT64) : undefined,
    );
  }

  texts(name: string): string[] {
    return this.#read<string[]>(name, [], "a list of strings", (value) => {
      const isList = Array.isArray(value) && value.every((entry) => typeof entry === "string");
      return isList ? value : undefined;
    });
  }

  numbers(name: string): number[] {
    return this.#read<number[]>(name, [], "a list of whole numbers", (value) => {
      const isList = Array.isArray(value) && value.every((entry) => Number.isInteger(entry));
      return isList ? value : undefined;
    });
  }

  textByName(name: string): Record<string, string> {
    return this.#read<Record<string, string>>(name, {}, "an object with string values", (value) => {
      if (!isObject(value)) return undefined;
      const entries = Object.entries(value);
      const isText = entries.every((entry): entry is [string, string] => typeof entry[1] === "string");
      return isText ? Object.fromEntries(entries) : undefined;
    });
  }

  object(name: string): JsonReader {
    return JsonReader.of(this.has(name) ? this.fields[name] : {}, `${this.place}.${name}`);
  }

  objects(name: string): JsonReader[] {
    const list = this.#read<unknown[]>(name, [], "a list", (value) =>
      Array.isArray(value) ? value : undefined,
    );
    return list.map((entry, index) => JsonReader.of(entry, `${this.place}.${name}[${index}]`));
  }

  #read<T>(name: string, absent: T, wanted: string, read: (value: unknown) => T | undefined): T {
    if (!this.has(name)) return absent;
    const value = read(this.fields[name]);
    if (value !== undefined) return value;
    const found = describe(this.fields[name]);
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `${this.place}.${name} is ${found}; needed: ${wanted}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 80);
}
