import { OptionsError } from "./error.js";

/** "256M" → 268435456; K, M and G are powers of 1024. @throws OptionsError */
export function parseSize(name: string, text: string): number {
  const [, digits, unit] = /^(\d{1,12})([KMG]?)$/.exec(text) ?? [];
  if (digits === undefined) throw new OptionsError(`--${name}=${text}: not a size such as 128K, 256M or 1G`);
  return Number(digits) * 1024 ** ["", "K", "M", "G"].indexOf(unit ?? "");
}

/** A whole number from `least` to `most`. @throws OptionsError */
export function parseCount(name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new OptionsError(`--${name}=${text}: a whole number from ${least} to ${most} is needed`);
}

/** One of the words of `allowed`. @throws OptionsError */
export function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new OptionsError(`--${name}=${value}: possible are ${allowed.join(", ")}`);
  return found;
}
