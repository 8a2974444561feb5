import { NO_OPTIONS, type RuntimeOptions } from "../../configs/index.js";
import { containerd } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";

/**
 * The runtime options of a Create: the runtime's `options` table in containerd's configuration, or `ctr run --runtime-config-path`.
 * Options of other types are not ours: containerd sends runc's to every shim that its sandbox API starts.
 *
 * @throws ShimError INVALID_ARGUMENT for options of our type that cannot be read
 */
export function runtimeOptionsOf(options: containerd.Any.$Properties | null | undefined): RuntimeOptions {
  const { type_url = "", value } = options ?? {};
  if (value === undefined || !/(^|[./])runtimeoptions\.v1\.Options$/.test(type_url)) return NO_OPTIONS;
  let decoded: containerd.RuntimeOptions;
  try {
    decoded = containerd.RuntimeOptions.decode(value);
  } catch (error) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `runtime options (${type_url}) cannot be decoded`, {
      cause: error,
    });
  }
  const { config_path: configPath, config_body } = decoded;
  if (configPath !== "" && !configPath.startsWith("/")) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `ConfigPath "${configPath}" in the runtime options must be absolute`,
    );
  }
  return { configPath, configBody: Buffer.from(config_body).toString("utf8") };
}
