import { readFileSync } from "node:fs"

/** The token of `/admin`, from `ADMIN_TOKEN` or the file `ADMIN_TOKEN_FILE`; undefined where neither is set. */
export const adminToken = (env: Readonly<Record<string, string | undefined>>): string | undefined => {
  const file = env["ADMIN_TOKEN_FILE"]
  const token = env["ADMIN_TOKEN"] ?? (file === undefined ? undefined : readFileSync(file, "utf8").trim())
  return token === "" ? undefined : token
}
