import type { Claim } from "./proof.js";
import type { Phase, SandboxReport } from "./sandbox-report.js";

const PHASE_TITLES: Readonly<Record<Phase, string>> = {
  shimStart: "shim start",
  daemon: "kata-fsd",
  qemu: "QEMU",
  kernelToAgent: "kernel to agent",
  containerStart: "container start",
  total: "total",
};

/** The report of a demonstration, a line a claim. */
export function formatClaims(claims: readonly Claim[]): string {
  return claims
    .map(
      ({ title, holds, evidence }) => `  ${holds ? "ok    " : "FAILED"}  ${title.padEnd(11)} ${evidence}\n`,
    )
    .join("");
}

/** How long each phase of the sandbox took, and on what. `callMs` is the whole `ctr run`. */
export function formatPhases({ accelerator, qemu, phasesMs }: SandboxReport, callMs: number): string {
  const phases = (Object.keys(PHASE_TITLES) as Phase[]).map(
    (phase) => `${PHASE_TITLES[phase]} ${Math.round(phasesMs[phase])} ms`,
  );
  return (
    `          phases      ${phases.join(", ")}\n` +
    `          ctr run     ${Math.round(callMs)} ms from call to exit\n` +
    `          QEMU        ${qemu}, ${accelerator === "kvm" ? "KVM" : "TCG (emulation: no usable KVM on this machine)"}\n`
  );
}
