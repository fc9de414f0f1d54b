/**
 * `npm run record-log`: runs every ending of an order in a process of its own, and records what each module published, in
 * `contract/released/log.jsonl`. Tests read it with the reactions of later releases.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { folderOf, type LoggedRecord } from "../../contract/released.ts"
import { withFolder } from "../harness/audit.ts"
import { start, temporaryFolder } from "../harness/process.ts"
import { runProgram } from "../harness/program.ts"

using folder = temporaryFolder()
await using galleria = await start({ dataDir: folder.path })
const { code, output } = await runProgram("smoke.ts", [await galleria.url])
if (code !== 0) throw new Error(output)
await galleria.stop()
const records = await withFolder(folder.path, async (db) => {
  const { rows } = await db.query<LoggedRecord>(
    `select topic, key, headers::jsonb - 'traceparent' as headers, convert_from(value, 'utf8')::json as data from events.record
    order by headers->>'ce_time', topic, part, "offset"`,
  )
  return rows
})
const moduleOf = ({ headers }: LoggedRecord) => headers["ce_source"]!.split("/").at(-1)!
for (const [module, own] of Map.groupBy(records, moduleOf)) {
  const lines = own.map((record) => JSON.stringify(record))
  writeFileSync(join(folderOf(module), "log.jsonl"), `${lines.join("\n")}\n`)
  console.log(`${module}: ${own.length} records`)
}
