import type { Random } from "./random.js";

/** Longer inputs are cut: what they would do at their end is seldom reached in time. */
export const INPUT_BYTES_MAX = 4096;

type Mutation = (bytes: Uint8Array, random: Random, other: Uint8Array) => Uint8Array;

const mutations: readonly Mutation[] = [
  (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = random.uint32();
    return bytes;
  },
  (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return bytes;
  },
  (bytes, random) => {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) + 1 - 2 * random.below(2);
    return bytes;
  },
  (bytes, random) => {
    bytes[random.below(bytes.length)] = [0, 0xff, 0x80, 0x7f][random.below(4)] ?? 0;
    return bytes;
  },
  (bytes, random) => insert(bytes, random.below(bytes.length + 1), random.bytes(1 + random.below(8))),
  (bytes, random) => {
    const [from, to] = range(bytes, random);
    return Uint8Array.from([...bytes.subarray(0, from), ...bytes.subarray(to)]);
  },
  (bytes, random) => {
    const [from, to] = range(bytes, random);
    return insert(bytes, random.below(bytes.length + 1), bytes.slice(from, to));
  },
  (bytes, random, other) => {
    const [from, to] = range(other, random);
    return insert(bytes, random.below(bytes.length + 1), other.subarray(from, to));
  },
  (bytes, random, other) =>
    Uint8Array.from([
      ...bytes.subarray(0, random.below(bytes.length + 1)),
      ...other.subarray(random.below(other.length + 1)),
    ]),
];

/** An input that nothing is known of: short or long, up to a thousand bytes. */
export function freshInput(random: Random): Uint8Array {
  return random.bytes(1 + random.below(8 << random.below(8)));
}

/** A changed copy of `seed`, perhaps with something out of `other`. */
export function mutate(seed: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes = Uint8Array.from(seed.length === 0 ? [0] : seed);
  for (let left = 1 << random.below(4); left > 0; left--) {
    const mutation = mutations[random.below(mutations.length)];
    if (mutation !== undefined && bytes.length > 0) bytes = Uint8Array.from(mutation(bytes, random, other));
  }
  return bytes.subarray(0, INPUT_BYTES_MAX);
}

function insert(bytes: Uint8Array, at: number, news: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...news, ...bytes.subarray(at)]);
}

function range(bytes: Uint8Array, random: Random): [from: number, to: number] {
  const from = random.below(bytes.length);
  return [from, Math.min(bytes.length, from + 1 + random.below(32))];
}
