import { Effect } from "effect"
import { clientOn } from "./client.ts"
import { openSession, type SessionOptions } from "./session.ts"

/** Properties of a server and database that cannot be set for a session. */
export interface Server {
  /** `server_version_num`, such as 170004 for 17.4. */
  readonly version: number
  readonly encoding: string
  /** `block_size` in bytes, which bounds the length of an index key. */
  readonly page: number
}

const oldest = 14
const leastPage = 8_192

/** Why a database is not supported; undefined when it is. */
export const faultIn = ({ version, encoding, page }: Server): string | undefined => {
  if (version < oldest * 10_000) {
    return `PostgreSQL ${oldest} or later is needed, and this is ${Math.floor(version / 10_000)}`
  }
  if (encoding !== "UTF8") {
    return `its encoding is ${encoding}, not UTF8: create it with encoding 'UTF8' template template0`
  }
  if (page < leastPage) return `its block_size is ${page}, less than ${leastPage} bytes: keys do not fit`
  return undefined
}

/** Reads these properties, on a session of its own. */
export const askServer = (options: SessionOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const sql = yield* clientOn(options, yield* openSession(options))
      const [server] = yield* sql<Server>`
        select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding,
          current_setting('block_size')::int as page`
      return server!
    }),
  )
