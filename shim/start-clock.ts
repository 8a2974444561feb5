let answeredMs = 0;

/** Notes when containerd got this shim's address, in milliseconds from the start of the process. */
export function setAddressAnsweredMs(ms: number): void {
  answeredMs = ms;
}

/** What {@link setAddressAnsweredMs} was told. */
export function addressAnsweredMs(): number {
  return answeredMs;
}
