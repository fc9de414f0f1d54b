/**
 * `npm run audit [-- URL…]`: checks the invariants over all modules of a running system, and prints a line for each
 * violation. An address is `URL` or `module=URL`; the default is `MODULE_URLS`, or else http://localhost:8000. The token is
 * in `ADMIN_TOKEN` or in the file `ADMIN_TOKEN_FILE`.
 *
 * Exits with 1 when an invariant is violated or a module does not answer. It is read-only, and compares only the modules
 * that the addresses serve.
 */
import { Effect, Result } from "effect"
import { addressesOf, moduleNames } from "../http/addresses.ts"
import { auditOverHttp } from "../admin/audit/overHttp.ts"
import { adminToken } from "./adminToken.ts"

const { argv, env, stderr, stdout } = process

const main = async (): Promise<number> => {
  const { addresses, faults } = addressesOf(argv.slice(2), env["MODULE_URLS"])
  if (faults.length > 0) {
    stderr.write(`${faults.join("\n")}\n`)
    return 1
  }
  const audited = await Effect.runPromise(Effect.result(auditOverHttp(addresses, adminToken(env))))
  if (Result.isFailure(audited)) {
    stderr.write(`cannot audit ${audited.failure.message}\n`)
    return 1
  }
  const { modules, violations } = audited.success
  for (const { invariant, module, subject, details } of violations) {
    stdout.write(`✗ ${invariant} (${module}), ${subject}: ${details}\n`)
  }
  const missing = moduleNames.filter((name) => !modules.includes(name))
  if (missing.length > 0) stdout.write(`- not compared: ${missing.join(", ")}; no address serves them\n`)
  stdout.write(violations.length === 0 ? "every invariant holds\n" : `${violations.length} violations\n`)
  return violations.length === 0 ? 0 : 1
}

process.exitCode = await main()
