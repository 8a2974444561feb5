import { IdMap, type IdRange } from "../passthrough/id-map.js";
import { OptionsError } from "./error.js";

/**
 * The values of all --translate-uid, or of all --translate-gid.
 * @throws OptionsError
 */
export function parseIdMap(name: string, texts: readonly string[]): IdMap {
  const guestToHost: IdRange[] = [];
  const hostToGuest: IdRange[] = [];
  for (const text of texts) {
    const [kind = "", ...fields] = text.split(":");
    const isForbidding = kind === "forbid-guest";
    const ids = fields.map(toId);
    if (ids.length !== (isForbidding ? 2 : 3) || ids.some(Number.isNaN)) throw wrong(name, text);
    const [first = 0, second = 0, third = 0] = ids;
    const count = isForbidding ? second : third;
    const forth = { first, count, target: second };
    const back = { first: second, count, target: first };
    switch (kind) {
      case "guest":
        guestToHost.push({ ...forth, kind: "shift" });
        break;
      case "host":
        hostToGuest.push({ ...forth, kind: "shift" });
        break;
      case "squash-guest":
        guestToHost.push({ ...forth, kind: "squash" });
        break;
      case "squash-host":
        hostToGuest.push({ ...forth, kind: "squash" });
        break;
      case "forbid-guest":
        guestToHost.push({ first, count, kind: "forbid", target: 0 });
        break;
      case "map":
        guestToHost.push({ ...forth, kind: "shift" });
        hostToGuest.push({ ...back, kind: "shift" });
        break;
      default:
        throw wrong(name, text);
    }
  }
  try {
    return new IdMap({ guestToHost, hostToGuest });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new OptionsError(`--${name}: ${cause.message}`, { cause });
  }
}

/** NaN for what is no id. */
function toId(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
}

function wrong(name: string, text: string): OptionsError {
  return new OptionsError(
    `--${name}=${text}: guest, host, squash-guest, squash-host or map with :FROM:TO:COUNT, or forbid-guest:FROM:COUNT, is needed`,
  );
}
