let answeredMs = 0;

/** Notes that containerd has this shim's address. */
export function noteAddressAnswered(): void {
  answeredMs = performance.now();
}

/** Milliseconds from the start of this process until {@link noteAddressAnswered}. */
export function addressAnsweredMs(): number {
  return answeredMs;
}
