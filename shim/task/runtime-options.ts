import { containerd } from "../../proto/index.js";
import { ShimError, StatusCode } from "../error.js";

/**
 * The configuration file that the runtime options name, if they do: `ConfigPath` of the runtime's `options` table in containerd's
 * configuration. Options of other types are not ours: containerd sends runc's to every shim that its sandbox API starts.
 *
 * @throws ShimError INVALID_ARGUMENT for options of our type that cannot be read
 */
export function configPathOf(options: containerd.Any.$Properties | null | undefined): string | undefined {
  const { type_url = "", value } = options ?? {};
  if (value === undefined || !/(^|[./])runtimeoptions\.v1\.Options$/.test(type_url)) return undefined;
  let path: string;
  try {
    path = containerd.RuntimeOptions.decode(value).config_path;
  } catch (error) {
    throw new ShimError(StatusCode.INVALID_ARGUMENT, `runtime options (${type_url}) cannot be decoded`, {
      cause: error,
    });
  }
  if (path === "") return undefined;
  if (!path.startsWith("/")) {
    throw new ShimError(
      StatusCode.INVALID_ARGUMENT,
      `ConfigPath "${path}" in the runtime options must be absolute`,
    );
  }
  return path;
}
