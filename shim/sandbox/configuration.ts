import {
  ConfigError,
  type Configuration,
  configurationOf,
  DEFAULT_ORIGIN,
  type EffectiveSettings,
  resolveConfiguration,
} from "../../configs/index.js";
import { readAnnotations } from "../bundle.js";
import { ShimError, StatusCode } from "../error.js";
import type { Logger, ShimLogger } from "../log/logger.js";
import type { SandboxSpec } from "../task/sandbox-port.js";
import { setTimeLimits } from "../time-limits.js";

/**
 * The configuration of a sandbox, from files, containerd and the pod's annotations. The logger gets its level from it, the
 * process its time limits.
 *
 * @throws ShimError INVALID_ARGUMENT with the one line of a ConfigError
 */
export async function sandboxConfiguration(
  { bundle, runtimeOptions }: SandboxSpec,
  logger: ShimLogger,
): Promise<Configuration> {
  try {
    const effective = await resolveConfiguration({
      env: process.env,
      options: runtimeOptions,
      annotations: readAnnotations(bundle),
    });
    const configuration = configurationOf(effective);
    logger.setLevel(configuration.runtime.logLevel);
    logger.setFormat(configuration.runtime.logFormat);
    setTimeLimits(configuration.timeLimits);
    logOrigins(effective, logger);
    return configuration;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ShimError(StatusCode.INVALID_ARGUMENT, error.message, { cause: error });
  }
}

/** Names the keys that somebody has set, and where; not their values, some of which may be secrets in an environment. */
function logOrigins(effective: EffectiveSettings, logger: Logger): void {
  for (const [section, settings] of Object.entries(effective)) {
    for (const [key, { origin }] of Object.entries<{ origin: string }>(settings)) {
      if (origin !== DEFAULT_ORIGIN) logger.debug("configuration", { key: `${section}.${key}`, origin });
    }
  }
}
