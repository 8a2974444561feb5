/** Node's longest timer: a longer one fires at once. */
const TIMER_MAX_MS = 0x7fff_ffff;

/**
 * Calls `onExpired` once `timeoutMs` have passed, however many those are; `Infinity` never passes.
 *
 * @returns stops it; may be called at any time
 */
export function startTimer(timeoutMs: number, onExpired: () => void): () => void {
  if (timeoutMs === Number.POSITIVE_INFINITY) return () => {};
  let timer: NodeJS.Timeout;
  const arm = (restMs: number) => {
    const stepMs = Math.min(restMs, TIMER_MAX_MS);
    timer = setTimeout(() => (restMs > stepMs ? arm(restMs - stepMs) : onExpired()), stepMs);
  };
  arm(timeoutMs);
  return () => clearTimeout(timer);
}
