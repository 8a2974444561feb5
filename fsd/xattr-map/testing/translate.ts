import { type NameMap, Verdict } from "../name-map.js";

/** What becomes of a guest's name, as a word: the host's name, or what is done instead. For tests. */
export function hostName(map: NameMap, name: string): string {
  const bytes = Buffer.from(`##${name}##`);
  const verdict = map.toHost(bytes, 2, bytes.length - 4);
  switch (verdict) {
    case Verdict.pass:
      return name;
    case Verdict.renamed:
      return Buffer.from(map.renamed.subarray(0, map.renamedLength)).toString();
    default:
      return Object.entries(Verdict).find(([, value]) => value === verdict)?.[0] ?? "";
  }
}

/** What the guest sees of a list of the host. For tests. */
export function guestList(map: NameMap, names: readonly string[]): string[] {
  const list = names.map((name) => `${name}\0`).join("");
  const bytes = Buffer.from(`##${list}##`);
  const length = map.listToGuest(bytes, 2, bytes.length - 4);
  return bytes
    .toString("utf8", 2, 2 + length)
    .split("\0")
    .slice(0, -1);
}
