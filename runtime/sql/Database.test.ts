import { drivers } from "../test/harness/memory.ts"
import { databasesAt, ownPostgres } from "../test/harness/postgres.ts"
import { databaseSuite } from "./suite/DatabaseSuite.ts"

databaseSuite("embedded", drivers())

for (const release of [17, 18] as const) {
  const server = await ownPostgres({}, release)
  if (server !== undefined) databaseSuite(`postgres ${release}`, databasesAt(server.url))
}

const url = process.env["TEST_DATABASE_URL"]
if (url !== undefined && url !== "") databaseSuite("postgres at TEST_DATABASE_URL", databasesAt(url))
