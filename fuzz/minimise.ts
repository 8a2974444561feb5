/**
 * The shortest input with the same outcome that can be found by leaving parts out and by making bytes 0.
 * @param fails whether an input has that outcome
 * @param tries how often to ask at most
 */
export async function minimise(
  input: Uint8Array,
  fails: (input: Uint8Array) => Promise<boolean>,
  tries = 2000,
): Promise<Uint8Array> {
  let best = input;
  let left = tries;
  const adopt = async (candidate: Uint8Array): Promise<boolean> => {
    if (left-- <= 0 || !(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = best.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let at = 0; at < best.length && left > 0; ) {
      const shorter = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (!(await adopt(shorter))) at += size;
    }
  }
  for (let at = 0; at < best.length && left > 0; at++) {
    if (best[at] === 0) continue;
    const duller = best.slice();
    duller[at] = 0;
    await adopt(duller);
  }
  return best;
}
